"""What the judge is given at each tick, and what it keeps of a verdict until the next one.

judge_inputs  what control knows beside the samples
calm          whether the last verdict still holds at the next tick
"""
