"""Decisions that wait for a person."""
