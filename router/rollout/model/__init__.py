"""The three vocabularies of a service: journal entries, events, commands; and what they name."""
