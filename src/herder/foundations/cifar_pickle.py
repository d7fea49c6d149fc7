"""Reading the pickles of CIFAR-10 as data: nothing in the file is imported, and nothing in it is called.

A pickle is a small program for a stack machine, and one that somebody made can run anything. CIFAR-10's published
batches (https://www.cs.toronto.edu/~kriz/cifar.html) are pickles, written by Python 2: a dict of bytes, lists and one
array. Two locks:

1. ``_check_opcodes`` walks the program without running it, and refuses every instruction that a dict of bytes, numbers,
   lists and arrays does not need, and sizes that the file cannot hold.
2. ``_DataUnpickler`` then runs it, with stand-ins for the six names by which NumPy arrays and bytes are written down. A
   stand-in only notes what it is given; no other name is ever looked up.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class UnsafePickleError(pickle.UnpicklingError):
    """A pickle that asks for more than a batch of CIFAR-10 needs."""


class _DataType:
    """Stands in for ``numpy.dtype``; only bytes 0 to 255 are data of CIFAR."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in ("u1", b"u1"):
            raise UnsafePickleError("found an array that is not uint8")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like: nothing that uint8 needs."""


class _Pixels:
    """Stands in for ``numpy.ndarray``: keeps the shape and the bytes, and makes the array itself."""

    def __init__(self) -> None:
        self.array: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, _, column_major, data = state
        self.array = _as_array(data, shape, "F" if column_major else "C")


def _as_array(data: Any, shape: Any, order: str) -> NDArray[np.uint8]:
    if not isinstance(data, (bytes, bytearray)):
        raise UnsafePickleError("found an array without bytes")
    flat = np.frombuffer(data, np.uint8)
    return flat.reshape(shape, order="F" if order == "F" else "C")  # raises where the bytes are not as many


def _reconstruct(*_: Any) -> _Pixels:
    return _Pixels()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Pixels:
    pixels = _Pixels()
    pixels.array = _as_array(data, shape, order)
    return pixels


def _encode(text: Any, encoding: Any) -> bytes:
    """Python 3 writes bytes for Python 2 as text in Latin-1."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickleError("found a text in an unknown encoding")
    return text.encode("latin-1")


class _DataUnpickler(pickle.Unpickler):
    names: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "dtype"): _DataType,
        ("numpy", "ndarray"): _Pixels,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.numeric", "_frombuffer"): _frombuffer,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        """A stand-in; never an import."""
        if (module_name, global_name) not in self.names:
            raise UnsafePickleError(f"it asks for {module_name[:80]}.{global_name[:80]}, which no CIFAR-10 batch needs")
        return self.names[module_name, global_name]


# All that a dict of bytes, text, numbers, lists and arrays is written with, in protocols 0 to 5; no object of a class
# (OBJ, INST, NEWOBJ), no extension registry (EXT1), no reference to somewhere else (PERSID, NEXT_BUFFER).
_OPCODES = frozenset(
    (
        "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT",
        "GET", "BINGET", "LONG_BINGET",
        "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1",
        "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
        "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
        "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
        "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
        "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
    )
)  # fmt: skip


def read_data_pickle(data: bytes) -> Any:
    """What the pickle in ``data`` holds: dicts, lists, tuples, bytes, texts, numbers, and uint8 arrays.

    Texts of Python 2 come back as bytes. Raises UnsafePickleError, without having run anything, for a pickle that asks
    for more, and its parent pickle.UnpicklingError for one that is damaged or cut short.

    >>> read_data_pickle(pickle.dumps({b"labels": [6, 9]}))
    {b'labels': [6, 9]}
    >>> read_data_pickle(pickle.dumps(print))
    Traceback (most recent call last):
    herder.foundations.cifar_pickle.UnsafePickleError: it asks for builtins.print, which no CIFAR-10 batch needs
    """
    try:
        _check_opcodes(data)
        return _as_plain(_DataUnpickler(io.BytesIO(data), encoding="bytes").load())
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged program can fail in nearly any way
        raise pickle.UnpicklingError(f"it is damaged or cut short ({error})") from error


def _check_opcodes(data: bytes) -> None:
    """Walk through the program without running it. ``genops`` raises where the program ends before its data."""
    for opcode, argument, place in pickletools.genops(data):
        if opcode.name not in _OPCODES:
            raise UnsafePickleError(f"it holds the instruction {opcode.name} at byte {place}, which no data needs")
        # The unpickler makes room for as many notes as the largest number: 20 bytes could ask for 30 GB.
        if opcode.name.endswith("PUT") and isinstance(argument, int) and not 0 <= argument <= len(data):
            raise UnsafePickleError(f"it wants note {argument} at byte {place}, more than its own length")


def _as_plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_plain(item) for key, item in value.items()}
    return value.array if isinstance(value, _Pixels) else value
