"""What observes a request: validation, captures, samples, the access log."""
