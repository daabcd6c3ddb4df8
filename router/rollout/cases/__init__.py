"""Captured requests that must work in the next version."""
