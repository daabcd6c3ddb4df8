"""The operator's commands: thin clients of the admin API. Only what every command needs is imported at the start."""
