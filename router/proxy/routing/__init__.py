"""Chooses the endpoint of a request, and limits the requests in flight."""
