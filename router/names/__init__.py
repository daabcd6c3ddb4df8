"""Resolves the names of endpoints, for workers and for control."""
