"""HTTP/1 bytes to heads and back, without I/O."""
