"""The wall: memory that workers and control both see. Every byte has a single writer; nothing here waits or locks.

Outcomes go one way (lanes, written by workers), the route comes the other way (one word a service, written by control).
"""
