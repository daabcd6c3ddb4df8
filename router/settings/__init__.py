"""The settings: their model, and how they are loaded from file, environment and command line."""
