"""Turns the far side's modules into one shell command: nothing is installed, nothing is left behind."""

from __future__ import annotations

import os
import zlib
from binascii import b2a_base64

_made: dict[tuple[str, ...], str] = {}
_IMPORT = "from gpurent_plugin_turbo."


def source(*modules: str) -> str:
    """The source of ``modules`` in one: what they import of each other is there already, and remarks stay here."""
    here = os.path.dirname(__file__)
    kept: list[str] = []
    for module in modules:
        with open(os.path.join(here, f"{module}.py"), encoding="utf-8") as file:
            skipping = False
            for line in file:
                if skipping:
                    skipping = ")" not in line
                elif line.startswith(_IMPORT):
                    skipping = line.rstrip().endswith("(")
                elif not line.lstrip(" ").startswith("#"):
                    kept.append(line)
    return "".join(kept)


def command(call: str, *modules: str) -> str:
    """A line for any shell that runs ``call`` after ``modules``; status 127 where there is no Python."""
    found = _made.get((call, *modules))
    if found is None:
        packed = b2a_base64(zlib.compress(f"{source(*modules)}\n{call}".encode(), 9), newline=False).decode()
        loader = f'import zlib,binascii;exec(zlib.decompress(binascii.a2b_base64("{packed}")))'
        found = _made[call, *modules] = f"exec python3 -ISc '{loader}'"
    return found


def push_command(target: str, whole: bool = False) -> str:
    """Takes a push into ``target``; ``whole``: what is there already is read before it is believed."""
    return command(
        f"take_push({target.encode()!r}, {whole})", "codec", "wire", "disk", "crew", "partials", "far"
    )
