"""Drills: swap to the standby and back on a schedule, to show that a rollback would work."""
