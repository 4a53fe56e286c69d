"""Backends: loop programs to machines."""
