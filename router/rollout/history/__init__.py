"""What was, row by row, and what can be learned from it."""
