"""Decides the state of proposals: journal entries in, proposals with their state out. Operators approve or deny them.

The rules by which proposals are opened and decided are in machine/proposal_rules.py: they read the registry.
"""
