"""The demo: two small model servers, a load and a fault. It meets the router over HTTP only, like any user."""
