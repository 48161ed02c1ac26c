"""Digests and codecs.

Sent to the machine as source: Python 3.7 or later, only the standard library, no future annotations.
"""

import ctypes
import struct
import zlib
from collections.abc import Callable

from gpurent_plugin_turbo.shared.annotations import Any
from gpurent_plugin_turbo.shared.wire import ProtocolViolation

RAW, ZLIB, ZSTD = 0, 1, 2
BLAKE, XXH = 1, 2


class _Xxh128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def _load_library(name: str, declare: "Callable[[Any], None]") -> "Any":
    """Load a library; None if it is missing or too old for what ``declare`` names."""
    try:
        library = ctypes.CDLL(name)
        declare(library)
    except (OSError, AttributeError):
        return None
    return library


def _declare_xxhash(library: "Any") -> None:
    library.XXH3_createState.restype = ctypes.c_void_p
    library.XXH3_128bits_reset.argtypes = [ctypes.c_void_p]
    library.XXH3_128bits_update.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    library.XXH3_128bits_digest.argtypes = [ctypes.c_void_p]
    library.XXH3_128bits_digest.restype = _Xxh128
    library.XXH3_freeState.argtypes = [ctypes.c_void_p]
    library.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    library.XXH3_128bits.restype = _Xxh128


XXHASH_LIBRARY = _load_library("libxxhash.so.0", _declare_xxhash)


def _to_pointer(data: "bytes | bytearray | memoryview") -> "tuple[Any, int]":
    """Return something that ctypes passes as a pointer, without a copy where possible."""
    if isinstance(data, bytes):
        return data, len(data)
    if isinstance(data, memoryview) and data.readonly:
        return bytes(data), len(data)
    return (ctypes.c_char * len(data)).from_buffer(data), len(data)


class Xxh3:
    """XXH3-128 of the system's libxxhash: detects damage by connections and disks, not forgery."""

    def __init__(self) -> None:
        self._state = XXHASH_LIBRARY.XXH3_createState()
        XXHASH_LIBRARY.XXH3_128bits_reset(self._state)

    def update(self, data: "bytes | bytearray | memoryview") -> None:
        given, size = _to_pointer(data)
        if size:
            XXHASH_LIBRARY.XXH3_128bits_update(self._state, ctypes.cast(given, ctypes.c_void_p), size)

    def digest(self) -> bytes:
        found = XXHASH_LIBRARY.XXH3_128bits_digest(self._state)
        return struct.pack(">QQ", found.high, found.low)

    def __del__(self) -> None:
        XXHASH_LIBRARY.XXH3_freeState(self._state)


def new_digest(kind: int) -> "Any":
    """Return a new 16-byte digest. Raises `LookupError` if the library is missing."""
    if kind == XXH:
        if XXHASH_LIBRARY is None:
            raise LookupError("libxxhash")
        return Xxh3()
    from hashlib import blake2b

    return blake2b(digest_size=16)


def compute_digest(kind: int, data: "bytes | bytearray | memoryview") -> bytes:
    made = new_digest(kind)
    made.update(data)
    return bytes(made.digest())


BEST_DIGEST = XXH if XXHASH_LIBRARY is not None else BLAKE


def _declare_zstd(library: "Any") -> None:
    for name in ("ZSTD_createCCtx", "ZSTD_createDCtx"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("ZSTD_compressBound", "ZSTD_compressCCtx", "ZSTD_decompressDCtx"):
        getattr(library, name).restype = ctypes.c_size_t
    library.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    buffers = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t]
    library.ZSTD_compressCCtx.argtypes = [*buffers, ctypes.c_int]
    library.ZSTD_decompressDCtx.argtypes = buffers
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    library.ZSTD_freeCCtx.argtypes = library.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]


ZSTD_LIBRARY = _load_library("libzstd.so.1", _declare_zstd)
BEST_CODEC = ZSTD if ZSTD_LIBRARY is not None else ZLIB


class Codec:
    """Compresses and decompresses. Not thread-safe; a result may lie in a buffer that the next call reuses."""

    def __init__(self) -> None:
        self._compressed, self._decompressed = bytearray(), bytearray()
        if ZSTD_LIBRARY is not None:
            self._compressor, self._decompressor = (
                ZSTD_LIBRARY.ZSTD_createCCtx(),
                ZSTD_LIBRARY.ZSTD_createDCtx(),
            )

    def compress(
        self, codec: int, level: int, data: "bytes | bytearray | memoryview"
    ) -> "bytes | memoryview":
        if codec == ZLIB:
            return zlib.compress(data, min(level, 9))
        room = ZSTD_LIBRARY.ZSTD_compressBound(len(data))
        if len(self._compressed) < room:
            self._compressed = bytearray(room)
        return _run_zstd(ZSTD_LIBRARY.ZSTD_compressCCtx, self._compressor, self._compressed, data, level)

    def decompress(
        self, codec: int, data: "bytes | bytearray | memoryview", size: int
    ) -> "bytes | memoryview":
        """Return exactly ``size`` bytes, else raise `ProtocolViolation`: safe against decompression bombs."""
        if codec == RAW:
            out = memoryview(data)
        elif codec == ZLIB:
            try:
                out = memoryview(zlib.decompressobj().decompress(data, size + 1))
            except zlib.error as error:
                raise ProtocolViolation(str(error)) from None
        elif codec == ZSTD and ZSTD_LIBRARY is not None:
            if len(self._decompressed) < size or not size:
                self._decompressed = bytearray(size or 1)
            out = _run_zstd(ZSTD_LIBRARY.ZSTD_decompressDCtx, self._decompressor, self._decompressed, data)
        else:
            raise LookupError("libzstd")
        if len(out) != size:
            raise ProtocolViolation("it unpacks to another size")
        return out

    def __del__(self) -> None:
        if ZSTD_LIBRARY is not None:
            ZSTD_LIBRARY.ZSTD_freeCCtx(self._compressor)
            ZSTD_LIBRARY.ZSTD_freeDCtx(self._decompressor)


def _run_zstd(
    function: "Any", context: int, out: bytearray, data: "bytes | bytearray | memoryview", *level: int
) -> memoryview:
    """Call ``function`` on ``data`` and return its output, a view of ``out``."""
    given, size = _to_pointer(data)
    view = (ctypes.c_char * len(out)).from_buffer(out)
    done = function(context, view, len(out), ctypes.cast(given, ctypes.c_void_p), size, *level)
    if ZSTD_LIBRARY.ZSTD_isError(done):
        raise ProtocolViolation("zstd cannot unpack" if not level else "zstd cannot compress")
    return memoryview(out)[:done]
