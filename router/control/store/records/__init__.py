"""The records of the journal: the key that a record may have, which records are effective, and the changes made by key."""
