"""One call of the REST API, and its routes' description."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from gpurent.api import Evidence
from gpurent_plugin_runpod.simulator.problem import invalid_body
from gpurent_plugin_runpod.simulator.state import RunpodAccount

MAX_PAGE = 1000


@frozen(kw_only=True)
class Call:
    """A call with a valid key. ``path``: what stands for the names in it; ``body``: the JSON, None if there is none."""

    account: RunpodAccount
    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: Any

    @property
    def id(self) -> str:
        return str(self.path["id"])


@frozen
class Created:
    """The answer of a create, which has status 201."""

    body: Mapping[str, Any]


Handler = Callable[[Call], Awaitable[Mapping[str, Any] | Created | None]]


@frozen(kw_only=True)
class ApiRoute:
    """One route; its handler returns None for an answer without content."""

    method: str
    path: str
    handle: Handler
    evidence: Evidence = Evidence.DOCUMENTED
    note: str = ""


def make_page(call: Call, name: str, rows: Sequence[Mapping[str, Any]], largest: int) -> dict[str, Any]:
    """Return one page of a list; the cursor is the id of its last row. Raises `Problem`."""
    text = call.query.get("limit", "100")
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise invalid_body(f"limit: from 1 to {MAX_PAGE}")
    limit, start = min(int(text), largest), 0
    if cursor := call.query.get("cursor", ""):
        try:
            last = base64.b64decode(cursor, validate=True).decode()
        except (binascii.Error, ValueError):
            raise invalid_body("cursor: is none of this list") from None
        # A place in the order, which holds when rows come or go.
        start = sum(str(row["id"]) <= last for row in rows)
    page = rows[start : start + limit]
    goes_on = len(rows) > start + limit
    following = base64.b64encode(str(page[-1]["id"]).encode()).decode() if goes_on else None
    return {name: page, "pagination": {"hasNextPage": goes_on, "nextCursor": following}}
