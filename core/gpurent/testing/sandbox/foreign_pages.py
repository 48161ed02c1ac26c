"""Keeps pages of the web away from the sandbox's services, which every browser on this computer can reach."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

_OWN_HOSTS = ("127.0.0.1", "::1", "localhost")
_REFUSAL = b"This request comes from a page of another site.\n"
Scope = MutableMapping[str, Any]


@frozen
class OwnPagesOnly:
    """An ASGI application that passes requests on to ``app``, but for those of other sites' pages.

    A page can send a form anywhere, with the user's cookies for that place; the browser then says whose page it was. A
    site whose name leads to this computer reads answers as well; then the name is not one of this computer.
    """

    app: Callable[[Scope, Any, Any], Awaitable[None]]

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not _is_foreign(scope):
            await self.app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_REFUSAL)).encode())]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": _REFUSAL})


def _is_foreign(scope: Scope) -> bool:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "")
    if _parse_host(f"http://{host}") not in _OWN_HOSTS:
        return True
    if scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode", "navigate") == "navigate":
        return False  # a link to a page, which changes nothing
    site = headers.get("sec-fetch-site", "same-origin")
    return headers.get("origin", f"http://{host}") != f"http://{host}" or site not in ("same-origin", "none")


def _parse_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
