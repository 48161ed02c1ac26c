"""Which addresses are opened, and the pages by which the browser gets one with a secret that no command line shows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path

_PAGE_URL = re.compile(r"https://([a-z0-9.-]{1,253})(?:/[A-Za-z0-9._~/%?&=+-]{0,500})?")

REDIRECT_PAGE = """<!doctype html><html><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url={url}"></head><body><a href="{url}">gpurent</a></body></html>
"""


def is_allowed_url(url: str, hosts: Collection[str]) -> bool:
    """Return whether ``url`` is a plain https URL on one of ``hosts``: no port, no user, no unusual characters."""
    page = _PAGE_URL.fullmatch(url)
    return page is not None and page[1] in hosts


def name_page() -> str:
    """Return the name of a new page of this process."""
    import secrets

    return f"open-{os.getpid()}-{secrets.token_hex(8)}.html"


def list_left_pages(folder: Path, is_running: Callable[[int], bool]) -> list[Path]:
    """Return the pages of processes that have ended."""
    found = []
    for path in folder.glob("open-*.html"):
        pid = path.name.split("-")[1]
        if not (pid.isdecimal() and is_running(int(pid))):
            found.append(path)
    return found
