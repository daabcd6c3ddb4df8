"""From an accepted socket to a connection that may send requests."""
