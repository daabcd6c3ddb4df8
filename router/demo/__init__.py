"""`rollback-router demo`: a router, two versions of a model, traffic, a fault, and the rollback it causes."""
