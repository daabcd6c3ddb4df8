"""Decides whether the active version fails, and when a promoted version is accepted. Samples and `now` in, `Verdict` out.

judge         keeps the samples of each slot; `Judge.evaluate` runs the triggers and the acceptance criteria
context       `TriggerContext`, the input of every trigger: samples since the promotion, rules, baseline
verdict       `TriggerResult` of one trigger; `conclude` makes one `Verdict` of all results
rules         settings of the triggers as plain values

hard_failure  triggers: connections are refused, or nothing is answered
errors        trigger: nearly every request fails
breadth_gate  how many requests and clients are affected
error_rate    trigger: the share of faults is above normal, with confidence
latency       trigger: too many answers are later than the objective
progress      package: whether work comes out useful
evidence      faults in a row, refused connections and waits since a response last began
sustained     for how long a trigger has failed

baseline      the normal fault share and latency of the service, from its last accepted version
criteria      the conditions under which a promoted version is accepted
probation     requests, and time without a failing trigger, since the promotion
probe_evidence  the inference probes of the active version and of its standby
"""
