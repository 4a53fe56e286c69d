"""This machine: its instruction set, LLVM as its compiler, its peak."""
