"""Whether requests are what the model knows, and answers are answers."""
