"""Alerts in."""
