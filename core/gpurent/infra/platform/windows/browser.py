"""The user's browser."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpurent.infra.platform.pages import REDIRECT_PAGE, list_left_pages, name_page
from gpurent.infra.platform.windows import api, private_files, processes

assert sys.platform == "win32"  # noqa: S101 - so that mypy reads it for Windows alone


def has_display() -> bool:
    """Return whether a browser would open a window: not in a session over SSH."""
    return "SSH_CONNECTION" not in os.environ


def open_in_browser(url: str) -> bool:
    """Open ``url`` in the user's browser; False if none is available."""
    if not has_display():
        return False
    try:
        api.open_with_shell(url)
    except OSError:
        return False
    return True


@contextmanager
def open_privately(url: str, folder: Path) -> Iterator[bool]:
    """Open ``url``, which holds a secret, by a private file in ``folder`` that leads to it; deleted at the end."""
    private_files.make_private_folder(folder)
    for left in list_left_pages(folder, processes.is_process_running):
        left.unlink(missing_ok=True)
    path = folder / name_page()
    private_files.write_new_private_file(path, REDIRECT_PAGE.format(url=html.escape(url)).encode())
    try:
        yield open_in_browser(str(path))
    finally:
        path.unlink(missing_ok=True)
