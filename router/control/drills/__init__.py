"""Drills, performed."""
