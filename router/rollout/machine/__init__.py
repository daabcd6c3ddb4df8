"""Decides all changes of the versions of one service: (event, `now_ns`) in, commands out. The registry is the state.

machine          `Machine.handle`: switches, rollbacks, drills; the table of all moves
registry         `Registry`: the state of a service as the fold of its journal entries
replay           selects the effective journal entries; builds a registry from a journal
reconcile        the entry that makes a registry agree with the route in shared memory
gate             the objections to an automatic rollback now
version_rules    register, deploy, retire, quarantine, release, freeze
registration     rules for labels, endpoints and origins of versions
lifecycle        the effects of probes and time: verified, failed, restored, drained, cut
probe_streaks    consecutive good probes by endpoint
inference_probes what inference probes say of the active version and its standby
proposal_rules   open, decide, expire and withdraw proposals
added_criteria   acceptance criteria that rollbacks and operators add
retention        the versions that must be kept, with the reasons
limits           settings of the machine as plain values
"""
