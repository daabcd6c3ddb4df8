"""What is known of versions, here and at a model registry."""
