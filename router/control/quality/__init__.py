"""The content of requests and responses. `addon` detects input drift, `validators_addon` reports validation."""
