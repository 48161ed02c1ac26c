"""A shop's page in the user's browser: https, on a host that its plugin declared, and nothing else."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection
from urllib.parse import urlsplit

_PLAIN = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?:/[A-Za-z0-9._~/%?&=+-]{0,500})?")


def allowed(url: str, hosts: Collection[str]) -> bool:
    """Whether ``url`` is a plain https address on one of ``hosts``: no port, no user, no odd character."""
    if not _PLAIN.fullmatch(url):
        return False
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.netloc == parts.hostname and parts.netloc in hosts


def has_display(environment: dict[str, str] | os._Environ[str] = os.environ) -> bool:
    """Whether a browser would open a window. One inside the terminal would take the terminal away."""
    if environment.get("BROWSER"):
        return True
    if sys.platform == "darwin":
        return "SSH_CONNECTION" not in environment
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_page(url: str, hosts: Collection[str]) -> bool:
    """Show ``url``; False when it may not be, or nothing shows pages here. Blocks until the browser has taken it."""
    if not allowed(url, hosts) or not has_display():
        return False
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
