"""Acceptance criteria: learned from rollbacks, edited by operators, compared with the active version."""
