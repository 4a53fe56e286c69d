"""The loop program as LLVM IR."""
