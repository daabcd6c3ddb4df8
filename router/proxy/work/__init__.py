"""What attempts come to: work buckets of requests, and what is in a response beyond its head (docs/behaviour/judging.md)."""
