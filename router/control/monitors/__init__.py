"""Alarms, events, and counters that are not about one version: `alarms broadcast certificates overload switch_stats`."""
