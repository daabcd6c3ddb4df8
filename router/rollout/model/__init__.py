"""The values that the rollout of a service is made of. Decides nothing; parses and checks the values.

entry      `Entry`, one journal entry, and the names of all entry types
events     the input of the state machine
commands   the output of the state machine
target     one version: label, endpoints, slot, state; the legal changes of state
route      the slot of each role, as one 64-bit word
endpoint   the address of one replica of a version
"""
