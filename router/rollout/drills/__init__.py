"""Decides whether a drill may start, when it swaps the roles, when it ends early, and its result. Observations in, steps out.

A drill makes the swap of a rollback on purpose, to the standby and back.

drill          the steps of one drill, and its result
preconditions  the reasons against a drill now
comparison     compares the serving version with the version before
log            all drills of a service, from its journal
"""
