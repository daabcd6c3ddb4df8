"""Incoming alerts: the authentication of senders, the formats, and the triggers `quality` and `business`."""
