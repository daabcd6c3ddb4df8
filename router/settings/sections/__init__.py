"""What the settings consist of: a file a section, with its members, their defaults, and what a value may be.

`config.py` reads them from the file, the environment and the flags. A unit ends every name.
"""
