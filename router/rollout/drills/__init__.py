"""Decides whether a drill may start, when it swaps the roles, when it ends early, and its result. Observations in, steps out.

A drill makes the swap of a rollback on purpose, to the standby and back.

drill          the steps of one drill, and its result
preconditions  why a drill may not start now
comparison     whether the serving version performs worse than the version before
log            all drills of a service, from its journal
"""
