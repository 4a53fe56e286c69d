"""Elements and parts of tensors, by position and in order."""
