"""The way back, rehearsed."""
