"""The read side: status documents, metrics, the catalogue of versions. Nothing here changes anything."""
