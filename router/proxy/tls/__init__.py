"""TLS as a transport over memory BIOs: `transport` for both sides, `backend` for connections to backends, `relay` for a
take-over.
"""
