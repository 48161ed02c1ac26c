"""Who calls, and how often: API keys, and the shortest documented intervals between calls."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from starlette.requests import Request

from gpurent_plugin_vast.simulator.accounts import VastAccount
from gpurent_plugin_vast.simulator.refusal import VastRefusal
from gpurent_plugin_vast.simulator.state import VastState

INTERVALS: Mapping[str, str] = {
    "create": "4.5",
    "destroy": "3",
    "get": "2",
    "list": "1",
    "manage": "1",
    "charges": "1",
    "invoices": "3",
    "prepay": "2",
    "deposit": "3",
    "keys": "2",
}
"""Seconds between two calls of one account to one of these."""
PENALTIES: Mapping[str, str] = {"create": "12"}
"""Seconds that a call which came too early has to wait (assumed: from then on)."""


def authenticate(state: VastState, request: Request, *, wrong_key_status: int = 401) -> VastAccount:
    """Return the caller's account. Raises `VastRefusal`."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    key = given.strip() if kind.lower() == "bearer" else request.query_params.get("api_key", "")
    if not key:
        raise VastRefusal(403, "auth_error", "This action requires login.")
    for account in state.accounts:
        if secrets.compare_digest(account.api_key.encode(), key.encode()):
            return account
    raise VastRefusal(wrong_key_status, "auth_error", "Invalid user key")


class Pace:
    """Refuses calls that come too early, by the provider's time; the setting ``pacing = on`` switches it on."""

    def __init__(self, setting: str) -> None:
        self.is_on = setting == "on"
        self._free_at: dict[tuple[str, int], datetime] = {}

    def check(self, name: str, account: VastAccount, now: datetime) -> str:
        """Return the text of a status 429, or nothing if the call may go on. ``name``: as in `INTERVALS`, or empty."""
        if not self.is_on or name not in INTERVALS:
            return ""
        place = (name, account.id)
        if now < self._free_at.get(place, now):
            if name in PENALTIES:
                self._free_at[place] = now + _parse_seconds(PENALTIES[name])
            return f"API requests too frequent endpoint threshold={INTERVALS[name]}"
        self._free_at[place] = now + _parse_seconds(INTERVALS[name])
        return ""


def _parse_seconds(text: str) -> timedelta:
    whole, _, tenths = text.partition(".")
    return timedelta(seconds=int(whole), milliseconds=100 * int(tenths or "0"))
