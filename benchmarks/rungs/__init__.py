"""The rungs of the ladder: each a process of its own that reads the same topic and does a little more with it."""
