"""Certificate files: what is in them, and the ssl contexts made from them."""
