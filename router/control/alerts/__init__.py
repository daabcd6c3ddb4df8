"""Incoming alerts: who may send them, their formats, and the triggers `quality` and `business` made of them."""
