"""Decides whether requests have drifted from the reference, and whether requests and answers are valid.

validators     JSON Schema, finite numbers, allowed labels, end of a stream
drift          shares of requests that differ from the reference, and their limits
reference      fields of requests, and learning a reference from good requests
field_profile  profile of one field: missing share, range, categories
"""
