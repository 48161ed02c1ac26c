"""When a create was last sent whose effect is not known: until when the machine of an order may still appear."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.lease import PendingOrder
from gpurent.ports.services import PluginState
from gpurent.ports.system import Clock


@frozen
class CreateAttempts:
    """The creates that were sent for each order, on disk before they are sent: any answer may be lost.

    ``listing_delay``: a machine that was created is in the service's list after this time, if it was created at all. A
    second create starts it anew. ``refusal_delay``: the same where every create was refused by name, so that a machine
    exists only if something on the way sent one twice; by default as long.
    """

    state: PluginState
    clock: Clock
    listing_delay: timedelta
    refusal_delay: timedelta | None = None

    async def note_sent(self, key: str) -> str:
        """Note that the create of the order ``key`` is sent now; return the note before, for `take_back`."""
        now = self.clock.now().isoformat()
        if not await self.state.get(_first_name(key)):
            await self.state.put(_first_name(key), now)
        before = await self.state.get(_name(key)) or ""
        await self.state.put(_name(key), now)
        return before

    async def take_back(self, key: str, before: str) -> None:
        """Note that the last create was refused by name, so that only an earlier one may have had an effect."""
        await self.state.put(_name(key), before)

    async def find_first(self, key: str) -> datetime | None:
        """Return when a create for the order ``key`` was first sent, refused or not; None if that is not on record."""
        noted = await self.state.get(_first_name(key))
        return datetime.fromisoformat(noted) if noted else None

    async def may_still_appear(self, pending: PendingOrder) -> bool:
        """Whether the machine of an order that was sent may be missing from a complete list although it exists."""
        return await self.was_sent_lately(pending.key, pending.sent_at)

    async def may_be_refused_about_itself(self, pending: PendingOrder) -> bool:
        """Whether a refusal of the create ("taken") may be about the machine of this very order, not listed yet.

        Something on the way may have sent it twice; on a first attempt, that is not known either.
        """
        return pending.sent_at is None or await self.may_still_appear(pending)

    async def was_sent_lately(self, key: str, sent_at: datetime | None) -> bool:
        """As `may_still_appear`, for what core first asked for at ``sent_at`` under the label ``key``."""
        noted = await self.state.get(_name(key))
        if noted:
            return self.clock.now() - datetime.fromisoformat(noted) < self.listing_delay
        delay = self.listing_delay if self.refusal_delay is None else self.refusal_delay
        return sent_at is not None and self.clock.now() - sent_at < delay


def _name(key: str) -> str:
    return f"create/{key}"


def _first_name(key: str) -> str:
    return f"first-create/{key}"
