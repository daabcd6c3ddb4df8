"""The only room with SQL: one SQLite file for each kind of thing that is kept."""
