"""Text that comes from files and variables: its encoding, and which text is a usable secret."""
