"""The parent process: sockets, shared memory, children, signals. Entry point: `run.run`."""
