"""A whole step in registers: tensors never lie in memory, and the step loop is inside."""
