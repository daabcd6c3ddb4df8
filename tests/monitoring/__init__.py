"""The rules and the dashboard in deploy/ that are made for other programs."""
