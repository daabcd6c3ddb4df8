"""Generates the reference pages of docs/reference, the example of the settings and their JSON Schema from the code.

`python -m docs.generate` writes the files; with `--check` it only compares, and exits with 1 if one of them is stale.
A module makes one file, or what several files share; `pages` lists the files.
"""
