"""The CPU: loop programs to machine code through LLVM."""
