"""The router beside its peers: the same work, one core each, in turns. `python -m benchmarks peers`; see README.md."""
