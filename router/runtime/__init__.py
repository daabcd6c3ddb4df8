"""Used by every process: clock, tasks, logs, printable text, fail points, files, descriptor limits, arguments of children."""
