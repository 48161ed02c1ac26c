"""Digests and codecs.

This module also travels as source to the far side: Python 3.6, the standard library, no future annotations.
"""

import ctypes
import struct
import zlib

from gpurent_plugin_turbo.shared.errors import Broken

TYPE_CHECKING = False  # the real one costs the far side an import
if TYPE_CHECKING:
    from typing import Any

RAW, ZLIB, ZSTD = 0, 1, 2
BLAKE, XXH = 1, 2


class _Xxh128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def _library(name: str) -> "Any":
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _xxhash() -> "Any":
    found = _library("libxxhash.so.0")
    try:
        if found is not None:
            found.XXH3_createState.restype = ctypes.c_void_p
            found.XXH3_128bits_reset.argtypes = [ctypes.c_void_p]
            found.XXH3_128bits_update.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
            found.XXH3_128bits_digest.argtypes = [ctypes.c_void_p]
            found.XXH3_128bits_digest.restype = _Xxh128
            found.XXH3_freeState.argtypes = [ctypes.c_void_p]
            found.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
            found.XXH3_128bits.restype = _Xxh128
    except AttributeError:
        return None
    return found


XXHASH = _xxhash()


def _pointer(data: "bytes | bytearray | memoryview") -> "tuple[Any, int]":
    """Something that ctypes passes as a pointer, without a copy where there is a way."""
    if isinstance(data, bytes):
        return data, len(data)
    if isinstance(data, memoryview) and data.readonly:
        return bytes(data), len(data)
    return (ctypes.c_char * len(data)).from_buffer(data), len(data)


class Xxh3:
    """XXH3-128 of the system's libxxhash: against mistakes of lines and disks, not against forgers."""

    def __init__(self) -> None:
        self._state = XXHASH.XXH3_createState()
        XXHASH.XXH3_128bits_reset(self._state)

    def update(self, data: "bytes | bytearray | memoryview") -> None:
        given, size = _pointer(data)
        if size:
            XXHASH.XXH3_128bits_update(self._state, ctypes.cast(given, ctypes.c_void_p), size)

    def digest(self) -> bytes:
        found = XXHASH.XXH3_128bits_digest(self._state)
        return struct.pack(">QQ", found.high, found.low)

    def __del__(self) -> None:
        XXHASH.XXH3_freeState(self._state)


def new_digest(kind: int) -> "Any":
    """A fresh digest of 16 bytes; `LookupError` where the library is missing."""
    if kind == XXH:
        if XXHASH is None:
            raise LookupError("libxxhash")
        return Xxh3()
    from hashlib import blake2b

    return blake2b(digest_size=16)


def compute_digest(kind: int, data: "bytes | bytearray | memoryview") -> bytes:
    made = new_digest(kind)
    made.update(data)
    return bytes(made.digest())


BEST_DIGEST = XXH if XXHASH is not None else BLAKE


def _zstd() -> "Any":
    found = _library("libzstd.so.1")
    try:
        if found is not None:
            for name in ("ZSTD_createCCtx", "ZSTD_createDCtx"):
                getattr(found, name).restype = ctypes.c_void_p
            for name in ("ZSTD_compressBound", "ZSTD_compressCCtx", "ZSTD_decompressDCtx"):
                getattr(found, name).restype = ctypes.c_size_t
            found.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
            found.ZSTD_compressCCtx.argtypes = [
                ctypes.c_void_p,
                ctypes.c_void_p,
                ctypes.c_size_t,
                ctypes.c_void_p,
                ctypes.c_size_t,
                ctypes.c_int,
            ]
            found.ZSTD_decompressDCtx.argtypes = found.ZSTD_compressCCtx.argtypes[:5]
            found.ZSTD_isError.argtypes = [ctypes.c_size_t]
            found.ZSTD_freeCCtx.argtypes = found.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
    except AttributeError:
        return None
    return found


ZSTANDARD = _zstd()
BEST_CODEC = ZSTD if ZSTANDARD is not None else ZLIB


class Codec:
    """Compresses and unpacks; not for two threads at once."""

    def __init__(self) -> None:
        self._press: Any = None
        self._release: Any = None
        self._room, self._out = bytearray(), bytearray()

    def compress(
        self, codec: int, level: int, data: "bytes | bytearray | memoryview"
    ) -> "bytes | memoryview":
        """Pressed, in memory that the next call uses again."""
        if codec == ZLIB:
            return zlib.compress(data, min(level, 9))
        if self._press is None:
            self._press = ZSTANDARD.ZSTD_createCCtx()
        given, size = _pointer(data)
        room = ZSTANDARD.ZSTD_compressBound(size)
        if len(self._out) < room:
            self._out = bytearray(room)
        out = self._out
        view = (ctypes.c_char * room).from_buffer(out)
        done = ZSTANDARD.ZSTD_compressCCtx(
            self._press, view, room, ctypes.cast(given, ctypes.c_void_p), size, level
        )
        if ZSTANDARD.ZSTD_isError(done):
            raise Broken("zstd cannot compress")
        return memoryview(out)[:done]

    def unpack(self, codec: int, data: "bytes | bytearray | memoryview", size: int) -> "bytes | memoryview":
        """Exactly ``size`` bytes, or `Broken`: a bomb does not go off. The next call may use the same memory again."""
        if codec == RAW:
            out = memoryview(data)
        elif codec == ZLIB:
            made = zlib.decompressobj()
            try:
                out = memoryview(made.decompress(data, size + 1))
            except zlib.error as error:
                raise Broken(str(error)) from None
        elif codec == ZSTD and ZSTANDARD is not None:
            out = self._zstd(data, size)
        else:
            raise LookupError("libzstd")
        if len(out) != size:
            raise Broken("it unpacks to another size")
        return out

    def _zstd(self, data: "bytes | bytearray | memoryview", size: int) -> memoryview:
        if self._release is None:
            self._release = ZSTANDARD.ZSTD_createDCtx()
        given, length = _pointer(data)
        if len(self._room) < size or not size:
            self._room = bytearray(size or 1)
        out = self._room
        view = (ctypes.c_char * len(out)).from_buffer(out)
        done = ZSTANDARD.ZSTD_decompressDCtx(
            self._release, view, size, ctypes.cast(given, ctypes.c_void_p), length
        )
        if ZSTANDARD.ZSTD_isError(done):
            raise Broken("zstd cannot unpack")
        return memoryview(out)[:done]

    def __del__(self) -> None:
        if self._press is not None:
            ZSTANDARD.ZSTD_freeCCtx(self._press)
        if self._release is not None:
            ZSTANDARD.ZSTD_freeDCtx(self._release)
