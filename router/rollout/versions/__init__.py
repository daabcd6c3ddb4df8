"""What is known of a version beside its role."""
