"""Reads files of a machine, small ones together and large ones in pieces, whatever bytes their names hold."""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha256

from attrs import frozen

from gpurent.remote.shell import iter_marked_lines, probe_command

_MARK = "gpurent-file "
# A path is given as the argument of ``printf %b``; the x keeps line breaks at its end.
_PATH = 'f=$(printf %b "$1"; echo x); f=${f%x}'
# What is empty or repeats itself travels as little: then an answer's length says how much the machine really sent.
# Levels below 4 make of nothing but zeros four times as much.
_PACK = "if has gzip; then how=z; pack() { gzip -4; }; else how=-; pack() { cat; }; fi"
_PIECE_SCRIPT = rf"""
{_PACK}
{_PATH}
[ -f "$f" ] && [ ! -L "$f" ] || {{ echo "@mark@none"; exit 0; }}
printf '@mark@%s' "$how"
tail -c "+$2" < "$f" | head -c "$3" | pack | base64 | tr -d '\n'
echo .
"""
_DIGEST_SCRIPT = rf"""
{_PATH}
[ -f "$f" ] && [ ! -L "$f" ] || {{ echo "@mark@none"; exit 0; }}
size=$(wc -c < "$f")
if has sha256sum; then sum=$(sha256sum < "$f"); elif has shasum; then sum=$(shasum -a 256 < "$f"); else sum=; fi
echo "@mark@$((size)) ${{sum%% *}}"
"""
# The arguments are pairs of a path and the most bytes to print of it.
_FILES_SCRIPT = rf"""
{_PACK}
while [ $# -gt 1 ]; do
    {_PATH}
    if [ -f "$f" ] && [ ! -L "$f" ]; then
        size=$(wc -c < "$f")
        if has sha256sum; then sum=$(sha256sum < "$f"); elif has shasum; then sum=$(shasum -a 256 < "$f"); else sum=; fi
        printf '@mark@%s %s %s' "$((size))" "${{sum%% *}}" "$how"
        head -c "$2" < "$f" | pack | base64 | tr -d '\n'
        echo .
    else
        echo "@mark@none"
    fi
    shift 2
done
"""
_FILE_LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{64})? ([z-][A-Za-z0-9+/=]*)\.", re.ASCII)


@frozen(kw_only=True)
class RemoteDigest:
    """``size`` in bytes; ``sha256`` in hex, empty if the machine has no tool for it."""

    size: int
    sha256: str


def read_piece_command(path: bytes, offset: int, size: int) -> str:
    """Return the command that prints up to ``size`` bytes from byte ``offset``; see `parse_piece`."""
    return probe_command(
        _PIECE_SCRIPT, _encode_path(path), str(offset + 1), str(size), name="file", mark=_MARK
    )


def parse_piece(output: str, size: int) -> bytes | None:
    """Return the piece; None if the file is gone, or if the output is not a piece of at most ``size`` bytes."""
    found = list(iter_marked_lines(output, _MARK))
    if len(found) != 1 or not found[0].endswith("."):
        return None
    return _unpack(found[0].removesuffix("."), size)


def read_digest_command(path: bytes) -> str:
    """Return the command that prints the size and the SHA-256 of a file; see `parse_digest`."""
    return probe_command(_DIGEST_SCRIPT, _encode_path(path), name="file", mark=_MARK)


def parse_digest(output: str) -> RemoteDigest | None:
    """Return the digest; None if the file is gone, or if the output is not recognized."""
    for line in iter_marked_lines(output, _MARK):
        if found := re.fullmatch(r"(\d{1,18}) ([0-9a-f]{64})?", line, re.ASCII):
            return RemoteDigest(size=int(found[1]), sha256=found[2] or "")
    return None


def read_files_command(files: Sequence[tuple[bytes, int]]) -> str:
    """Return the command that prints whole small files, given by path and size; see `parse_files`."""
    arguments = [word for path, size in files for word in (_encode_path(path), str(size))]
    return probe_command(_FILES_SCRIPT, *arguments, name="files", mark=_MARK)


def parse_files(output: str, sizes: Sequence[int]) -> list[bytes | None]:
    """Return the contents of the files; None for one that is gone, that has another size or another digest.

    Without as many answers as ``sizes``, nothing is known of any.
    """
    lines = list(iter_marked_lines(output, _MARK))
    if len(lines) != len(sizes):
        return [None for _size in sizes]
    return [_parse_file(line, size) for line, size in zip(lines, sizes, strict=True)]


def _parse_file(line: str, size: int) -> bytes | None:
    found = _FILE_LINE.fullmatch(line)
    if found is None or int(found[1]) != size:
        return None
    data = _unpack(found[3], size)
    if data is None:
        return None
    is_whole = len(data) == size and found[2] in (None, sha256(data).hexdigest())
    return data if is_whole else None


def _unpack(text: str, longest: int) -> bytes | None:
    """Return what the scripts printed of a file; None if it is not that, or more than ``longest`` bytes."""
    try:
        data = b64decode(text[1:], validate=True)
        if text[:1] == "z":
            unpacker = zlib.decompressobj(wbits=31)
            data = unpacker.decompress(data, longest + 1)
            if not unpacker.eof or unpacker.unused_data:
                return None
        elif text[:1] != "-":
            return None
    except (ValueError, zlib.error):
        return None
    return data if len(data) <= longest else None


def _encode_path(path: bytes) -> str:
    """Return ``path`` as the argument of ``printf %b``, never taken for an option; odd bytes are in octal."""
    encoded = "".join(
        chr(byte)
        if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "/._-")
        else f"\\0{byte:03o}"
        for byte in path
    )
    return encoded if encoded.startswith("/") else f"./{encoded}"
