"""A Python function of tensors becomes one program, as long as what it names stays the same."""
