"""Incidents: the timeline of every rollback, its sample snapshot, and the documents rendered from both."""
