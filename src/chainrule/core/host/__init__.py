"""What lies outside of a computation: memory, files, processes, arrays of others."""
