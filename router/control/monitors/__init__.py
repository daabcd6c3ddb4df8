"""What is raised, counted and broadcast."""
