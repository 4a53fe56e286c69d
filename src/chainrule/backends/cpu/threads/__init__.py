"""Threads: how many, the pool, and the native loop over the steps."""
