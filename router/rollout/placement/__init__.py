"""Slots: which version holds which slot of this router, and what a record changes in this router."""
