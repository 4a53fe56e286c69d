"""One group of nodes as loops."""
