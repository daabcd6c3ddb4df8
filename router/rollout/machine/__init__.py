"""Events in, commands out: the state machine of one service."""
