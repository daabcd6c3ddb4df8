"""What a scrape of the metrics adds to status: endpoints, processes, text formats."""
