"""A rollback retold: what happened, what it cost, what may have caused it."""
