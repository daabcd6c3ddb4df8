"""The slots of a service in shared memory: contents, counters, drains."""
