"""Outgoing notifications: what to send, to which channel, and the delivery with its retries."""
