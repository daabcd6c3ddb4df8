"""What the judge knows of the version that serves from one tick to the next.

calm   whether the last verdict still holds at the next tick
"""
