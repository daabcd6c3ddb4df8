"""Cases: what was captured of failing requests, the suite of each service, and its replay against a version."""
