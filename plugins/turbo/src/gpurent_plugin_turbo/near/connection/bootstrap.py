"""Turns the far side's modules into one shell command: nothing is installed, nothing is left behind."""

from __future__ import annotations

import os
import zlib
from binascii import b2a_base64

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_made: dict[tuple[str, ...], str] = {}
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
_IMPORT = "from gpurent_plugin_turbo."
_QUOTES = '"""'
# In the order of their imports.
PUSH = (
    *("shared/errors", "shared/codec", "shared/wire", "shared/files", "shared/push_frames"),
    *("far/disk", "far/workers", "far/partials", "far/receiver"),
)
PULL = (
    *("shared/errors", "shared/codec", "shared/wire", "shared/files", "shared/pull_frames"),
    *("far/disk", "far/sender"),
)
PRUNE = ("shared/errors", "shared/wire", "far/disk", "far/prune")


def source(*modules: str) -> str:
    """The source of ``modules`` in one: what they import of each other is there already, and remarks stay here.

    The command that carries it is the first thing on a young connection, which takes 14 KB at once and no more.
    """
    kept: list[str] = []
    for module in modules:
        with open(os.path.join(_PACKAGE, f"{module}.py"), encoding="utf-8") as file:
            kept += _bare(file)
    return "".join(kept)


def _bare(lines: Iterable[str]) -> Iterator[str]:
    """Without imports of our own, remarks and empty lines."""
    until = ""  # what ends the lines that are left out
    for line in lines:
        text = line.strip()
        if until:
            if until in text:
                until = ""
            continue
        if line.startswith(_IMPORT):
            until = ")" if text.endswith("(") else ""
        elif text.startswith(_QUOTES):
            if line[0] == " ":  # there may be nothing else in this body
                yield line[: line.index(_QUOTES)] + "0\n"
            until = "" if text.endswith(_QUOTES) and len(text) > 3 else _QUOTES
        elif text and text[0] != "#":
            yield line


def command(call: str, *modules: str) -> str:
    """A line for any shell that runs ``call`` after ``modules``; status 127 where there is no Python."""
    found = _made.get((call, *modules))
    if found is None:
        packed = b2a_base64(zlib.compress(f"{source(*modules)}\n{call}".encode(), 6), newline=False).decode()
        loader = f'import zlib,binascii;exec(zlib.decompress(binascii.a2b_base64("{packed}")))'
        found = _made[call, *modules] = f"exec python3 -ISc '{loader}'"
    return found


def push_command(target: str, whole: bool = False) -> str:
    """Takes a push into ``target``; ``whole``: what is there already is read before it is believed."""
    return command(f"take_push({target.encode()!r}, {whole})", *PUSH)


def pull_command(sources: Iterable[bytes]) -> str:
    """Gives ``sources``, normal paths."""
    return command(f"give_pull({[*sources]!r})", *PULL)


def prune_command(target: str, tops: Iterable[bytes]) -> str:
    """Lists what is below ``tops``, folders below ``target``, and deletes what it is told of that."""
    return command(f"take_away({target.encode()!r}, {[*tops]!r})", *PRUNE)
