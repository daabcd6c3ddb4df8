"""Observers of a request: validation, captures, samples, the access log."""
