"""Acceptance criteria: the add-on and its routes."""
