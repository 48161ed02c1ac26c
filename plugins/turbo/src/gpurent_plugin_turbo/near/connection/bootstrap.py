"""Packs the remote code into one shell command: nothing is installed, nothing is left behind."""

from __future__ import annotations

import os
import zlib
from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from functools import lru_cache
from posixpath import normpath

from gpurent import api

# The modules that each command carries; each comes after the modules that it imports.
PUSH_MODULES = (
    *("shared/wire", "shared/codec", "shared/files"),
    *("far/workers", "far/partials", "far/receiver"),
)
PULL_MODULES = ("shared/wire", "shared/codec", "shared/files", "shared/source_files", "far/sender")
PRUNE_MODULES = ("shared/wire", "far/prune")
PACKAGE_DIR = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))

_STRIPPED_IMPORTS = ("from gpurent_plugin_turbo.", "from collections.abc ")
_DOCSTRING_QUOTES = '"""'


def make_push_command(request: api.PushRequest) -> str:
    own = [folder.encode() for folder in api.find_own_folders(request.target)]
    return make_python_command(
        f"serve_push({request.target.encode()!r}, {own!r}, {request.verify == 'full'})", *PUSH_MODULES
    )


def make_pull_command(request: api.PullRequest) -> str:
    sources = [normalize_source(source).encode() for source in request.sources]
    return make_python_command(f"serve_pull({sources!r})", *PULL_MODULES)


def normalize_source(source: str) -> str:
    """Normalize the path of a source; its slash at the end, which lets a link be followed, is kept."""
    path = normpath(source)
    return f"{path}/" if source.endswith("/") and not path.endswith("/") else path


def make_prune_command(target: str, folders: list[bytes]) -> str:
    """Return a command that lists what is in ``folders`` below ``target`` and deletes what it is asked to."""
    return make_python_command(f"serve_prune({target.encode()!r}, {folders!r})", *PRUNE_MODULES)


@lru_cache(maxsize=8)
def make_python_command(call: str, *modules: str) -> str:
    """Return a script of the shell: loads ``modules``, runs ``call``; exit status 127 without Python.

    Only the last few are kept: a guard transfers from one trip's folder after another, and each call is another.
    """
    source = f"{bundle_source(*modules)}\n{call}".encode()
    packed = b2a_base64(zlib.compress(source, 6), newline=False).decode()
    loader = f'import zlib,binascii;exec(zlib.decompress(binascii.a2b_base64("{packed}")))'
    return f"exec python3 -ISc '{loader}'"


def bundle_source(*modules: str) -> str:
    """Return the joined source of ``modules``, without anything that only people and type checkers read.

    The command that carries it is the first data on a connection in slow start, whose initial window is about 14 KB.
    """
    kept: list[str] = []
    for module in modules:
        with open(os.path.join(PACKAGE_DIR, f"{module}.py"), encoding="utf-8") as file:
            kept += _strip_source(file)
    return "".join(kept)


def _strip_source(lines: Iterable[str]) -> Iterator[str]:
    """Drop our own imports, imports for type checkers, docstrings and comments; indent by single spaces."""
    until = ""  # the text that ends the lines being skipped
    for line in lines:
        text = line.strip()
        indent = " " * ((len(line) - len(line.lstrip())) // 4)
        if until:
            until = "" if until in text else until
        elif not text or text[0] == "#":
            continue
        elif line.startswith(_STRIPPED_IMPORTS):
            until = ")" if text.endswith("(") else ""
        elif text.startswith(_DOCSTRING_QUOTES):
            if indent:
                yield f"{indent}0\n"  # the body might hold nothing else
            until = "" if text.endswith(_DOCSTRING_QUOTES) and len(text) > 3 else _DOCSTRING_QUOTES
        else:
            code, _, comment = text.partition("  # ")
            is_in_string = '"' in comment or "'" in comment  # possibly
            yield f"{indent}{text if is_in_string else code}\n"
