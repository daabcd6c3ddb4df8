"""The settings of the router: the only place that validates them. `load` is the entry point.

`settings`  the model `Settings`, with every top-level setting
`sections`  one module a section: its members, their defaults, and the limits of their values
`checking`  finds every mistake, with its place and the remedy
`loader`    reads them from command-line flags, environment, TOML file and defaults, in this order of precedence; writes the
            JSON documents that the supervisor hands to its children, and parses them
"""
