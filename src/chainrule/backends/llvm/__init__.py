"""LLVM IR as text, and what the primitives mean in it; no machine, no threads, no llvmlite."""
