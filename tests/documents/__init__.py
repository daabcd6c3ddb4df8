"""The documents: what they name exists, their links resolve, their commands run."""
