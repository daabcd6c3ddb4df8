"""From a listening socket to a connection that may send requests: PROXY header, TLS handshake, connection limits.

`listener` accepts. `proxy_protocol` reads the PROXY header, `tls_acceptor` does the TLS handshake, and then the engine's
Downstream serves the connection. `connection_limiter` counts all connections; `reserve` has a few further places for
health checks. `handoff` passes connections on to another router in a take-over.
"""
