"""Gradients, forward mode and batching: nodes in, nodes out."""
