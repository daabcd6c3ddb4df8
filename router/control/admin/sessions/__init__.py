"""Callers without a bearer token: browsers that have signed in (a cookie), and people whom an authenticating proxy names."""
