"""Contractions as LLVM IR: tiles and panels, dot products, a few elements unrolled."""
