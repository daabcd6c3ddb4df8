"""The command line: one module per command group. `app` puts the groups together."""
