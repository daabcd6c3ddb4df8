"""Used by every process: clock, tasks, logs, printable text, fail points, files, descriptor limits, arguments of children.

Why: docs/decisions.md#what-every-process-uses.
"""
