"""Turns the far side's modules into one shell command: nothing is installed, nothing is left behind."""

from __future__ import annotations

import re
import shlex
import zlib
from base64 import b64encode
from functools import cache
from pathlib import Path

# The modules travel as one, so what they import of each other is there already.
_OURS = re.compile(r"^from gpurent_plugin_turbo\.\w+ import (\([^)]*\)|[^\n(]*)\n", re.MULTILINE)
_REMARK = re.compile(r"^ *#[^\n]*\n", re.MULTILINE)


@cache
def source(*modules: str) -> str:
    """The source of ``modules`` in one."""
    here = Path(__file__).parent
    text = "\n".join((here / f"{module}.py").read_text("utf-8") for module in modules)
    return _REMARK.sub("", _OURS.sub("", text))


@cache
def command(call: str, *modules: str) -> str:
    """A line for any shell that runs ``call`` after ``modules``; status 127 where there is no Python."""
    packed = b64encode(zlib.compress(f"{source(*modules)}\n{call}".encode(), 9)).decode()
    loader = f"import zlib,base64;exec(zlib.decompress(base64.b64decode('{packed}')))"
    return f"exec python3 -ISc {shlex.quote(loader)}"
