"""The functions of tensors, by what they do; `tensor.functions` has them by their public names."""
