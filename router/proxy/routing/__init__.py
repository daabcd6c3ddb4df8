"""Which endpoint a request is sent to, and whether there is room for the request."""
