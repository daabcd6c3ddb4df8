"""Builds the contents of an incident: entries and samples in; timeline, impact, candidate causes and review out.

incident       an incident from the entry of its rollback
timeline       the entries around a rollback
timeline_text  one entry as a line of text
impact         windows of both versions and the cost, from samples
causes         candidate causes with their evidence
review         severity, owner, root cause, actions and comments by operators
"""
