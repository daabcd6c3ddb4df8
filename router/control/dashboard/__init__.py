"""The dashboard: the page at `/`. Its files are served as they stand; what it shows comes from the admin API."""
