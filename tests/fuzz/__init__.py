"""Coverage-guided fuzzing of the parsers on the request path: `python -m tests.fuzz [--seconds N] [TARGET …]`."""
