"""What is read: status, metrics, the catalogue of versions."""
