"""Looks into a file of PyTorch's without PyTorch, and without running anything that the file says.

A checkpoint is a pickle (beside its tensors' bytes, which are not read). Python's own unpickler reads it with a short
list of names that it may know, each of which becomes a harmless description here; every other name, and so every way
to code, is refused. Both of PyTorch's formats: the zip file since 1.6, and the stream before it (2020).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from attrs import frozen

LARGEST = 64 << 20
MOST = 200_000
DEEPEST = 8
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SIZES = {
    "DoubleStorage": ("float64", 8), "FloatStorage": ("float32", 4), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1),
    "ComplexFloatStorage": ("complex64", 8), "ComplexDoubleStorage": ("complex128", 16),
    "UntypedStorage": ("bytes", 1),
}  # fmt: skip
_DTYPES = {
    "float8_e4m3fn": 1, "float8_e5m2": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
}  # fmt: skip


class Refused(Exception):
    """No checkpoint, or one that holds more than weights and plain values. The message is for people."""


@frozen(kw_only=True)
class Tensor:
    """A tensor's description; ``size`` in bytes. As a PyTorch tensor it has ``shape`` and ``dtype``."""

    shape: tuple[int, ...]
    dtype: str
    size: int


@frozen
class _Kind:
    dtype: str
    width: int


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._room = MOST
        self._known: Mapping[str, Callable[..., Any]] = {
            "collections.OrderedDict": self._ordered,
            "torch._utils._rebuild_tensor": _tensor,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_tensor_v3": _tensor_v3,
            "torch._utils._rebuild_parameter": _parameter,
            "torch.Size": self._size,
        }

    def find_class(self, module: str, name: str) -> Any:
        """The only door from a pickle to a name; everything that stands behind it is listed here."""
        if module in ("torch", "torch.storage") and name in _SIZES:
            return _Kind(*_SIZES[name])
        if module == "torch" and name in _DTYPES:
            return _Kind(name, _DTYPES[name])
        known = self._known.get(f"{module}.{name}")
        if known is None:
            raise Refused(f"{module}.{name}"[:120])
        return known

    def persistent_load(self, pid: Any) -> Any:
        """``("storage", kind, key, place, elements)`` stands for the bytes of a tensor."""
        if isinstance(pid, tuple) and len(pid) >= 2 and pid[0] == "storage" and isinstance(pid[1], _Kind):
            return pid[1]
        raise Refused("an unknown reference")

    # Copies count: a small file must not be able to make a large value.
    def _ordered(self, items: Any = ()) -> OrderedDict[Any, Any]:
        return OrderedDict(self._few(items))

    def _size(self, items: Any = ()) -> tuple[Any, ...]:
        return tuple(self._few(items))

    def _few(self, items: Any) -> Any:
        if not isinstance(items, list | tuple):
            raise Refused("an odd list")
        self._room -= len(items)
        if self._room < 0:
            raise Refused("too many values")
        return items


def _tensor_v3(_storage: Any, offset: Any, shape: Any, *rest: Any) -> Tensor:
    # stride, grad, hooks, then the kind: the storage is bytes alone.
    return _tensor(rest[3], offset, shape)


def _tensor(kind: Any, _offset: Any, shape: Any, *_rest: Any) -> Tensor:
    plain = (
        isinstance(shape, tuple)
        and len(shape) <= 32
        and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    )
    if not plain or not isinstance(kind, _Kind):
        raise Refused("an odd tensor")
    return Tensor(shape=shape, dtype=kind.dtype, size=prod(shape) * kind.width)


def _parameter(tensor: Any, *_rest: Any) -> Any:
    return tensor


def read(path: Path) -> Any:
    """The checkpoint with a `Tensor` for every tensor. Anything else than that and plain values: `Refused`."""
    try:
        if zipfile.is_zipfile(path):
            return _tree(_Reader(io.BytesIO(_from_zip(path))).load(), [MOST])
        with path.open("rb") as file:
            head = io.BytesIO(file.read(LARGEST))
        if not head.getbuffer()[: len(_LEGACY)] == _LEGACY:
            raise Refused("it is no file of PyTorch's")
        for _part in ("magic", "protocol", "system"):
            _Reader(head).load()
        return _tree(_Reader(head).load(), [MOST])
    except (Refused, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a hostile pickle can end in any error of Python's
        raise Refused(f"{type(error).__name__}: {error}"[:200]) from None


def _from_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
        if len(names) != 1:
            raise Refused("it is no file of PyTorch's")
        if names[0].file_size > LARGEST:
            raise Refused("it is too large")
        with archive.open(names[0]) as file:
            return file.read(LARGEST)


def _tree(value: Any, room: list[int], depth: int = 0) -> Any:
    """``value`` with plain dictionaries for all mappings: a pickle may have given its own odd attributes."""
    if not isinstance(value, dict):
        return value
    room[0] -= len(value) + 1
    if depth >= DEEPEST or room[0] < 0:
        raise Refused("it is nested too deep, or too large")
    return {str(name)[:500]: _tree(below, room, depth + 1) for name, below in dict.items(value)}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that is no mapping, with the names that lead to it."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from leaves(below, (*path, name))
    else:
        yield path, value
