"""The live stream of the dashboard (`GET /v1/live`): a whole document, then once a second what has changed, and every fact."""
