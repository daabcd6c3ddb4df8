"""TLS as a transport: towards clients and towards backends."""
