"""A signature as a native program: build it, keep it, run it."""
