"""Decisions that wait for a person, as people meet them."""
