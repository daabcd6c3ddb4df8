"""The sections of the settings: one module a section, with its members, their defaults and the limits of their values.

`router.settings.loader` reads them from file, environment and flags. The name of a quantity ends in its unit.
"""
