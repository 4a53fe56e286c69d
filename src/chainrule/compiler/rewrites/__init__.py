"""Graph to graph: equations, layouts, and what kernels need."""
