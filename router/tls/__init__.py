"""Certificate files: their contents, and the ssl contexts made from them."""
