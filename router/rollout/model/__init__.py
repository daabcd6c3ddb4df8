"""The values that the rollout of a service is made of. Decides nothing; parses and checks the values.

entry      `Entry`, one journal entry, and the names of all entry types
events     what has happened: the input of the state machine
commands   what is to be done: the output of the state machine
target     one version: label, endpoints, slot, state; the legal changes of state
route      which slot has which role, as one 64-bit word
endpoint   where one replica of a version listens
"""
