"""All decisions about services, pure: values and a time in, values out. No I/O, no asyncio, no clock, no settings type.

model, stats      the values, and counting
judge             whether the active version fails, and whether it is accepted
machine           the state machine of versions: (event, now) → commands
alerts, cases, drills, history, incidents, notifications, proposals, quality, versions: one feature each
outcome, json_pointer, text: shared by all
"""
