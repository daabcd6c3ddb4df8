"""The record of each rollback: gathered, kept as files, drawn, and shown as JSON, Markdown and HTML."""
