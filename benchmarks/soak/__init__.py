"""The router under much at once and for long: `python -m benchmarks load`."""
