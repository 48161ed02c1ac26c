"""Whether the guard runs, and when it last did."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gpurent.cli.json_output import to_json_value
from gpurent.domain.locks import GUARD_LOCK, LockOwner
from gpurent.locale import _
from gpurent.locale.durations import format_duration

if TYPE_CHECKING:
    from gpurent.ports.lock_store import LockStore


@frozen(kw_only=True)
class GuardStatus:
    """``owner``: the process that is the guard now; ``last``: the one that was it last. None: there is none."""

    owner: LockOwner | None
    last: LockOwner | None

    def to_json(self) -> dict[str, Any]:
        return {
            "is_running": self.owner is not None,
            "last_started_at": to_json_value(self.last.since) if self.last else None,
            "command": str(self.last.command) if self.last else "",
        }


async def find_guard_status(store: LockStore) -> GuardStatus:
    return GuardStatus(
        owner=await store.find_lock_owner(GUARD_LOCK), last=await store.find_last_holder(GUARD_LOCK)
    )


def format_guard(status: GuardStatus, now: datetime) -> str:
    """Return one line; of a guard that does not run, how to start it."""
    if status.owner is not None:
        return _("The guard is running: {owner}").format(owner=status.owner.describe())
    if status.last is None or status.last.since is None:
        return _("The guard has never run. Start it with the system: gpurent watch install")
    return _("The guard is not running (last start: {span} ago). Run it: gpurent watch --once").format(
        span=format_duration(now - status.last.since)
    )
