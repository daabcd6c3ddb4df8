"""The project's judge under a virtual clock: modelled traffic in, its verdicts out. See README.md, `judge`."""
