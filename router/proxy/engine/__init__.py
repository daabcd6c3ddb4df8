"""A request in flight: one state machine in five classes, which call each other directly and belong together.

    Downstream  a client's connection. Splits bytes into requests, one after the other, and writes the responses in that order.
    Exchange    one request and its response. Claims a target, relays both bodies, records exactly one outcome.
    Attempt     one try of an exchange on one target. Counts in shared memory: claimed, begun, ended with one outcome.
    Pool        the connections to one endpoint: idle ones, and exchanges that wait for a new one.
    Upstream    one connection to an endpoint. Splits bytes into a response head, a body and its end.

Besides them `LocalService` is this worker's copy of a service and its route, and `LocalTarget` its copy of one version with
the exchanges in flight there. They are read for every request and change when control publishes a route.

The common request, without an await:

    Downstream.data_received → Exchange.start (reads LocalService) → Attempt() → Pool.take → Upstream.send
    Upstream.data_received → Exchange.respond → Attempt.answered → Downstream.write
                           → Pool.release → Exchange.completed → Attempt.end → Downstream.exchange_ended

If the pool has no idle connection, the exchange waits: Pool.wait → (a task connects) → Exchange.connected. A failure before the
first response byte goes Upstream → Exchange.lost → failover.try_elsewhere: another endpoint, another version, or a 502 or 504. An
answer of 500 or above is held back meanwhile (holding.py). When a client leaves, Downstream calls Exchange.client_gone. Control
moves requests with Exchange.redispatch and ends them with Exchange.cut.

Exchange decides the outcome: `completed` for a whole response (`validate` if it is checked), `_fail` for a failure of the
backend, `client_gone`, `cut` and the `reject_…` methods for the rest. `Attempt.end` counts it for the version, `Exchange._end`
once for the request. The possible outcomes are in rollout/outcome.py.

The other modules are functions on these classes for steps that few requests take: local_replies (responses without an
exchange), closing, flow_control, min_rate, failover, holding, tunnel (after a 101), misdirection (421), trusted_proxy.
"""
