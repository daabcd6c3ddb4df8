"""The facts of a journal: one class for each type of entry. What a type means, and who reads it, follows from its members.

fact        the base class: how a fact is read from JSON and written as JSON, and whose fact it is
known       the classes by type, and how a fact of any type is read
entry       a fact with its envelope: service, actor, times, number

A fact is immutable. It says what happened, and nothing that only one router knows: no slot, and no time of a monotonic clock.
On the disk and in the API it is plain JSON with the members of its class; a member that an older release wrote and this one does
not know is ignored, and a member that an older release did not write has a default.
"""
