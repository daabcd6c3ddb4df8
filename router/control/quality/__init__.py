"""What validators and samples of requests say."""
