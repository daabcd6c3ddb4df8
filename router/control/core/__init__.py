"""The control loop and the swap."""
