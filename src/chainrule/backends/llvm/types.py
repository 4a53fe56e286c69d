"""How numbers of each dtype lie in memory and in registers: a row for each dtype."""

from __future__ import annotations

SCALAR_OF_DTYPE = {  # in memory
    "bool": "i8",
    "uint8": "i8",
    "int8": "i8",
    "uint16": "i16",
    "int16": "i16",
    "int32": "i32",
    "uint32": "i32",
    "int64": "i64",
    "uint64": "i64",
    "float32": "float",
    "float64": "double",
}
REGISTER_OF_DTYPE = {**SCALAR_OF_DTYPE, "bool": "i1"}
SIZE_OF_SCALAR = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "float": 4, "double": 8}  # bytes
SIZE_OF_SCALAR["ptr"] = 8
