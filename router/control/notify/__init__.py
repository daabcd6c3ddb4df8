"""Notifications out."""
