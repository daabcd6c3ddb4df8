"""Parts of URIs, compared as RFC 3986 requires: hosts and paths."""
