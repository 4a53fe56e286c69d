"""The name of a compiled program: equal names, equal machine code.

Names cover the graph (operations, parameters, shapes, constants; not the identity of its inputs),
the processor, the versions of LLVM and Python packages, and the text of the compiler itself.
"""

from __future__ import annotations

import hashlib

import numpy as np

from ....core.graph_digest import add_graph
from ....core.signature import Signature
from ..machine.sources import compiler_digest
from ..machine.target import Target


def fingerprint(signature: Signature, target: Target) -> str:
    """A hexadecimal digest of everything that decides what the program's code is."""
    digest = hashlib.blake2b(digest_size=20)
    digest.update(f"{compiler_digest()} {np.__version__} {target}\n".encode())
    add_graph(digest, signature)
    return digest.hexdigest()
