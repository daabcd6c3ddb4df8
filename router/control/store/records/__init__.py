"""The records of the journal: which of their entries are effective."""
