"""Incidents: the timeline and the sample snapshots of every rollback, and the documents rendered from them."""
