"""Turns the source for the far side into one shell command: nothing is installed, nothing is left behind."""

from __future__ import annotations

import os
import zlib
from binascii import b2a_base64

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What each command carries; a module comes after those that it imports.
PUSH_MODULES = (
    *("shared/wire", "shared/codec", "shared/files", "shared/push_frames"),
    *("far/disk", "far/workers", "far/partials", "far/receiver"),
)
PULL_MODULES = (
    *("shared/wire", "shared/codec", "shared/files", "shared/extents", "shared/pull_frames"),
    *("far/disk", "far/sender"),
)
PRUNE_MODULES = ("shared/wire", "far/disk", "far/prune")
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))

_commands: dict[tuple[str, ...], str] = {}
_IMPORT = "from gpurent_plugin_turbo."
_QUOTES = '"""'


def push_command(target: str, full_verify: bool = False) -> str:
    """Receives a push into ``target``; ``full_verify``: files that are there are read before they are trusted."""
    return make_command(f"serve_push({target.encode()!r}, {full_verify})", *PUSH_MODULES)


def pull_command(sources: list[bytes]) -> str:
    """Sends ``sources``, normalized paths."""
    return make_command(f"serve_pull({sources!r})", *PULL_MODULES)


def prune_command(target: str, folders: list[bytes]) -> str:
    """Lists what is in ``folders`` below ``target``, and deletes what it is told to."""
    return make_command(f"serve_prune({target.encode()!r}, {folders!r})", *PRUNE_MODULES)


def make_command(call: str, *modules: str) -> str:
    """A command for any shell that runs ``call`` after ``modules``; status 127 where there is no Python."""
    found = _commands.get((call, *modules))
    if found is None:
        source = f"{bundle_source(*modules)}\n{call}".encode()
        packed = b2a_base64(zlib.compress(source, 6), newline=False).decode()
        loader = f'import zlib,binascii;exec(zlib.decompress(binascii.a2b_base64("{packed}")))'
        found = _commands[call, *modules] = f"exec python3 -ISc '{loader}'"
    return found


def bundle_source(*modules: str) -> str:
    """The source of ``modules`` as one, without what only people and type checkers read.

    The command that carries it is the first thing on a connection in slow start, which takes 14 KB at once and no more.
    """
    kept: list[str] = []
    for module in modules:
        with open(os.path.join(PACKAGE, f"{module}.py"), encoding="utf-8") as file:
            kept += _strip_lines(file)
    return "".join(kept)


def _strip_lines(lines: Iterable[str]) -> Iterator[str]:
    """Without our own imports, docstrings, comments, blocks for type checkers; indented by single spaces."""
    until = ""  # what ends the lines that are left out
    typing = False
    for line in lines:
        text = line.strip()
        indent = " " * ((len(line) - len(line.lstrip())) // 4)
        if until:
            until = "" if until in text else until
        elif not text or text[0] == "#" or (typing and indent):
            continue
        elif line.startswith(_IMPORT):
            until = ")" if text.endswith("(") else ""
        elif text.startswith(_QUOTES):
            if indent:
                yield f"{indent}0\n"  # there may be nothing else in this body
            until = "" if text.endswith(_QUOTES) and len(text) > 3 else _QUOTES
        else:
            typing = "TYPE_CHECKING" in text
            if not typing:
                yield f"{indent}{text}\n"
