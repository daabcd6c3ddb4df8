"""Alerts from outside, and what they say of the active version."""
