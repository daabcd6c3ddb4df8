"""What people are told of a fact."""
