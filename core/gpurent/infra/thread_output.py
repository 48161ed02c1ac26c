"""Keeps what a plugin's thread prints away from the user's terminal and from the one document of ``--json``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_here = threading.local()


class _Aside:
    """A standard stream that drops what silenced threads write and is the real one for everybody else."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def write(self, text: str) -> int:
        if getattr(_here, "silent", False):
            return len(text)
        written: int = self.real.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def stand_aside() -> None:
    """Put the streams in place; again: does nothing."""
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), _Aside):
            setattr(sys, name, _Aside(getattr(sys, name)))


def step_back() -> None:
    """Take the streams away again."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, _Aside):
            setattr(sys, name, stream.real)


@contextmanager
def silent() -> Iterator[None]:
    """What this thread prints inside the block is dropped, once `stand_aside` was called."""
    _here.silent = True
    try:
        yield
    finally:
        _here.silent = False
