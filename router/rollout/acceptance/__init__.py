"""What a promoted version has to show."""
