"""The data plane: one worker process that accepts connections and relays requests to the active version.

Counterpart: `control`. The two share memory (`shm`) and never call each other: workers count and read the route, control judges
and publishes it. Nothing here waits for the judge, the journal or a disk. The packages, from the top:

    main        starts the process, hands connections to a successor, stops
    data_plane  `DataPlane` composes a worker: heads, services, limits; it sweeps deadlines, drains and reconfigures
    accept      from an accepted socket to a connection: PROXY header, TLS handshake, connection limits, handoff
    engine      a request in flight: connection, exchange, attempt, backend connection (read its docstring first)
    routing     limits on requests in flight, shares of clients, choice of an endpoint, name resolution
    tap         observers of requests: validation, failure capture, samples, access log
    context     `WorkerContext`, the state that all of the above share: settings, counters, deadlines
    tls         TLS transport over memory BIOs, TLS to backends
    http1       bytes to heads and back, without I/O

A request runs down: listener → Downstream → Exchange → Attempt → Pool → Upstream; its response runs up the same way.
"""
