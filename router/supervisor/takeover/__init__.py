"""Hot restart: the old and the new router exchange sockets and the state lock."""
