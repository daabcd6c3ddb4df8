"""Decides what happens to the versions of one service: (event, `now_ns`) in, commands out. The registry is the state.

machine          `Machine.handle`: switches, rollbacks, drills; the table of all moves
registry         `Registry`: the state of a service as the fold of its journal entries
replay           which journal entries are effective; a registry from a journal
reconcile        the entry that makes a registry agree with the route in shared memory
gate             why automation may not roll back now
version_rules    register, deploy, retire, quarantine, release, freeze
registration     rules for labels, endpoints and origins of versions
lifecycle        what probes and time cause: verified, failed, restored, drained, cut
probe_streaks    consecutive good probes by endpoint
proposal_rules   open, decide, expire and withdraw proposals
added_criteria   acceptance criteria that rollbacks and operators add
retention        which versions must be kept, and why
limits           settings of the machine as plain values
"""
