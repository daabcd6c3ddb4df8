"""Samples, judges and swaps; and performs the operator's verbs.

Every 100 ms `ControlLoop.tick` calls `ServiceController.tick` of each service:

    Sampler            reads the workers' counters (SlotCounters) from shared memory → one Sample a slot
    Judge              (rollout/judge) samples → Verdict
    Machine            (rollout/machine) the verdict as an event → commands; the only place that decides
    CommandExecutor    carries the commands out: apply the entry, store the route, wake the workers, journal
    ControlLoop        `confirm`: waits until the workers have acknowledged the route, then journals how long it took
    Addon.on_entry     gets each entry after all services were judged

An operator's verb goes the same way from the machine on: `Operations` (called by the admin) makes an event, and
`CommandExecutor.change` journals before it stores the route. It answers when the workers have confirmed.

Beside that: `Probes` probes each endpoint of a version that is kept warm (`ProbeClient` sends one probe); the results are
events of the machine. `Workers` wakes the workers and reads their acknowledgements. `recovery` makes journal, shared memory
and settings agree at a start; `in_doubt` reports changes of which it is unknown whether the disk has them. `ModelResolver`
turns `models:/…` into a label with endpoints.
"""
