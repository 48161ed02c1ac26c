"""Reads a PyTorch file without PyTorch and without running any code in the file.

A checkpoint is a pickle, beside the bytes of its tensors, which are not read. Python's own unpickler reads it with a
short list of allowed names, each of which becomes a harmless description here; every other name, and thus every way to
run code, is refused. Both PyTorch formats are read: the zip file (since 1.6) and the older stream (until 2020).
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

from gpurent_plugin_torch import _

MAX_PICKLE_SIZE = 64 << 20
MAX_VALUES = 200_000
MAX_DEPTH = 8
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_STORAGE_TYPES = {
    "DoubleStorage": ("float64", 8), "FloatStorage": ("float32", 4), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1),
    "ComplexFloatStorage": ("complex64", 8), "ComplexDoubleStorage": ("complex128", 16),
    "UntypedStorage": ("bytes", 1),
}  # fmt: skip
_DTYPE_SIZES = {
    "float8_e4m3fn": 1, "float8_e5m2": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
}  # fmt: skip


class CheckpointRefused(Exception):
    """Not a checkpoint, or one that holds more than weights and plain values. The message is for users."""


@frozen(kw_only=True)
class TensorInfo:
    """Description of a tensor; ``size`` in bytes. Like a PyTorch tensor it has ``shape`` and ``dtype``."""

    shape: tuple[int, ...]
    dtype: str
    size: int


@frozen
class _StorageType:
    dtype: str
    width: int


class _CheckpointUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._values_left = MAX_VALUES
        self._allowed_names: Mapping[str, Callable[..., Any]] = {
            "collections.OrderedDict": self._make_ordered_dict,
            "torch._utils._rebuild_tensor": _make_tensor,
            "torch._utils._rebuild_tensor_v2": _make_tensor,
            "torch._utils._rebuild_tensor_v3": _make_tensor_v3,
            "torch._utils._rebuild_parameter": _make_parameter,
            "torch.Size": self._make_size,
        }

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name in the pickle; only the names listed here are allowed."""
        if module in ("torch", "torch.storage") and name in _STORAGE_TYPES:
            return _StorageType(*_STORAGE_TYPES[name])
        if module == "torch" and name in _DTYPE_SIZES:
            return _StorageType(name, _DTYPE_SIZES[name])
        known = self._allowed_names.get(f"{module}.{name}")
        if known is None:
            raise CheckpointRefused(
                _("it refers to {name}, which is not allowed").format(name=f"{module}.{name}"[:120])
            )
        return known

    def persistent_load(self, pid: Any) -> Any:
        """Resolve ``("storage", kind, key, place, elements)``, which refers to the bytes of a tensor."""
        if (
            isinstance(pid, tuple)
            and len(pid) >= 2
            and pid[0] == "storage"
            and isinstance(pid[1], _StorageType)
        ):
            return pid[1]
        raise CheckpointRefused(_("it contains an unknown reference"))

    # Copies are counted: a small file must not be able to create a large value.
    def _make_ordered_dict(self, items: Any = ()) -> OrderedDict[Any, Any]:
        return OrderedDict(self._check_count(items))

    def _make_size(self, items: Any = ()) -> tuple[Any, ...]:
        return tuple(self._check_count(items))

    def _check_count(self, items: Any) -> Any:
        if not isinstance(items, list | tuple):
            raise CheckpointRefused(_("it contains an invalid list"))
        self._values_left -= len(items)
        if self._values_left < 0:
            raise CheckpointRefused(_("it contains too many values"))
        return items


def _make_tensor_v3(_storage: Any, offset: Any, shape: Any, *rest: Any) -> TensorInfo:
    # stride, grad, hooks, then the dtype: the storage itself is untyped bytes.
    return _make_tensor(rest[3], offset, shape)


def _make_tensor(kind: Any, _offset: Any, shape: Any, *_rest: Any) -> TensorInfo:
    plain = (
        isinstance(shape, tuple)
        and len(shape) <= 32
        and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    )
    if not plain or not isinstance(kind, _StorageType):
        raise CheckpointRefused(_("it contains an invalid tensor"))
    return TensorInfo(shape=shape, dtype=kind.dtype, size=prod(shape) * kind.width)


def _make_parameter(tensor: Any, *_rest: Any) -> Any:
    return tensor


def read_checkpoint(path: Path) -> Any:
    """Return the checkpoint with a `TensorInfo` for every tensor.

    Raises `CheckpointRefused` if it holds anything but weights and plain values.
    """
    try:
        if zipfile.is_zipfile(path):
            return _to_plain_dicts(_CheckpointUnpickler(io.BytesIO(_read_zip(path))).load(), [MAX_VALUES])
        with path.open("rb") as file:
            head = io.BytesIO(file.read(MAX_PICKLE_SIZE))
        if not head.getbuffer()[: len(_LEGACY_MAGIC)] == _LEGACY_MAGIC:
            raise CheckpointRefused(_("it is not a PyTorch file"))
        for _part in ("magic", "protocol", "system"):
            _CheckpointUnpickler(head).load()
        return _to_plain_dicts(_CheckpointUnpickler(head).load(), [MAX_VALUES])
    except (CheckpointRefused, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a hostile pickle can end in any error of Python's
        raise CheckpointRefused(f"{type(error).__name__}: {error}"[:200]) from None


def _read_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
        if len(names) != 1:
            raise CheckpointRefused(_("it is not a PyTorch file"))
        if names[0].file_size > MAX_PICKLE_SIZE:
            raise CheckpointRefused(_("it is too large"))
        with archive.open(names[0]) as file:
            return file.read(MAX_PICKLE_SIZE)


def _to_plain_dicts(value: Any, room: list[int], depth: int = 0) -> Any:
    """Return ``value`` with plain dicts for all mappings: a pickle may have set odd attributes on its own."""
    if not isinstance(value, dict):
        return value
    room[0] -= len(value) + 1
    if depth >= MAX_DEPTH or room[0] < 0:
        raise CheckpointRefused(_("it is nested too deeply or too large"))
    return {str(name)[:500]: _to_plain_dicts(below, room, depth + 1) for name, below in dict.items(value)}


def walk_leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value that is not a mapping, with the names that lead to it."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from walk_leaves(below, (*path, name))
    else:
        yield path, value
