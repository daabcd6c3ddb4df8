"""Comes with the content of event streams."""
