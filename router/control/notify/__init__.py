"""Outgoing notifications: their messages, their channels, and the delivery with its retries."""
