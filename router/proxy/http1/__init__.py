"""HTTP/1 bytes to heads and back, without I/O: strict parsing, framing, and the removal of hop-by-hop fields.

`request_head` and `response_head` translate one head. `head_cache` avoids most of that work with `head_template`. `chunked` finds
the end of a body. `forwarding` writes the forwarded fields, `proxy_header` parses the PROXY protocol, `replies` are the router's
own responses. `fields` has the code that they share.
"""
