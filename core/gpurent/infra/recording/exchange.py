"""One request of a plugin as it was sent, and its answer, with every secret in it: to be redacted, never to be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen

Headers = Sequence[tuple[str, str]]


@frozen(kw_only=True)
class SentRequest:
    """``base_url`` is that of the service, ``path`` lies below it; ``params`` are those of the query."""

    method: str
    base_url: str = field(repr=False)
    path: str = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class ReceivedAnswer:
    """A complete answer; ``text`` is its decoded body."""

    status: int
    headers: Headers = field(repr=False)
    text: str = field(repr=False)


FinishWatch = Callable[[ReceivedAnswer | None], None]
HttpWatch = Callable[[SentRequest], FinishWatch]
"""Called before a request is sent; what it returns is called at the end, with None if no complete answer came."""
