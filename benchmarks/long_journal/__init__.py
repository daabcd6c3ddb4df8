"""A journal of any length as the router of schema 1 wrote it: every kind of entry, in an order that its state machine allows.

The order follows from a seed alone, so a test and a benchmark fold the same entries. This package knows the format and the legal
changes by itself: it does not import the router, because the router is what is compared.
"""
