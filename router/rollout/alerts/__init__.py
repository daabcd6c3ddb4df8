"""Decides whether an alert from outside counts against the active version: alerts and labels in, results out.

alert          parse an alert by labels; decide whether it counts against the active version
alert_store    alerts that are firing, and the results of the triggers `quality` and `business`
label_pattern  patterns for label values with bounded cost
"""
