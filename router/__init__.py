"""rollback-router: a reverse proxy that keeps the previous model version warm and swaps back to it."""

__version__ = "0.1.0"
