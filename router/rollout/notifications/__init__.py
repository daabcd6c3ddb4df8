"""Decides which journal entries and alarms become notifications, and when: entries and alarms in, notifications out.

notification  the notification of an entry: title, facts, data
feed          the time at which it is sent: a switch after its confirmation, an alarm when it is raised
"""
