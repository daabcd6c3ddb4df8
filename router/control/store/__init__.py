"""The only package with SQL: one SQLite file each for the journal, the history, the cases and the outbox."""
