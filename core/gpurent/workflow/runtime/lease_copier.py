"""Keeps the second copies of the living leases, and compares them with the Store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, evolve

from gpurent.domain.lease_copy import (
    LeaseCopy,
    is_of_former,
    is_outdated,
    is_sent_unawares,
    make_lease_copy,
)
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.ports.lease_copies import LeaseCopies
from gpurent.ports.store import LeaseOrderStore
from gpurent.workflow.runtime.events import EventEmitter

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease

MAX_ATTEMPTS = 10


@define(eq=False)
class LeaseCopier:
    """``find_account`` returns the user's account at a provider, empty if it is not known."""

    store: LeaseOrderStore
    copies: LeaseCopies
    events: EventEmitter
    find_account: Callable[[str], str] = lambda _provider: ""
    _has_failed: bool = False

    async def copy_lease(self, lease_id: str) -> None:
        """Bring the lease's copy up to date. A failure is reported once: no lease must be lost for it."""
        try:
            # Others may save the lease at any time, so that what is written may be older than what they have written:
            # whoever writes looks again.
            for _attempt in range(MAX_ATTEMPTS):
                if await self._is_copied(lease_id):
                    return
                copy = await self._make_copy(lease_id)
                if copy is None:
                    self.copies.delete_copy(lease_id)
                else:
                    self.copies.put_copy(copy)
        except (OSError, GpurentError) as error:
            self._report_failure(error)

    async def _is_copied(self, lease_id: str) -> bool:
        """Whether the copy is up to date, or has more than the Store and so must be kept."""
        known, lease = self.copies.find_copy(lease_id), await self.store.find_lease(lease_id)
        if known is None:
            return lease is None or make_lease_copy(lease, "") is None
        if is_outdated(lease, known, await self._find_recorded_orders(known)):
            return True
        return lease is not None and _make_following(lease, known, known.account) == known

    async def _make_copy(self, lease_id: str) -> LeaseCopy | None:
        lease, known = await self.store.find_lease(lease_id), self.copies.find_copy(lease_id)
        if lease is None:
            return None
        account = known.account if known is not None and known.account else self.find_account(lease.provider)
        return _make_following(lease, known, account)

    async def _find_recorded_orders(self, copy: LeaseCopy) -> set[str]:
        return {key for key in copy.order_keys if await self.store.find_order(key) is not None}

    def _report_failure(self, error: OSError | GpurentError) -> None:
        from gpurent.domain.events import EventKind  # listings emit no events
        from gpurent.locale.foreign_text import describe_error

        if self._has_failed:
            return
        self._has_failed = True
        why = describe_error(error) if isinstance(error, OSError) else error.message
        text = _("the copy of the living leases' references cannot be written: {why}").format(why=why)
        self.events.emit(EventKind.WARNING, text)

    async def list_lost_leases(self) -> list[LeaseCopy]:
        """Return the copies of leases that the Store lacks, or of which it lacks an order that was sent.

        The Store is then new, or was restored from a backup.
        """
        return [copy for copy in self.copies.list_copies() if await self._is_lost(copy)]

    async def list_former_leases(self) -> list[LeaseCopy]:
        """Return the copies of living leases of a former installation, which nobody has adopted since the restore."""
        copies = [copy for copy in self.copies.list_copies() if copy.former]  # nearly always none
        return [copy for copy in copies if is_of_former(await self.store.find_lease(copy.lease), copy)]

    async def find_lost_lease(self, lease_id: str) -> LeaseCopy | None:
        copy = self.copies.find_copy(lease_id)
        return copy if copy is not None and await self._is_lost(copy) else None

    async def _is_lost(self, copy: LeaseCopy) -> bool:
        lease = await self.store.find_lease(copy.lease)
        return is_outdated(lease, copy, await self._find_recorded_orders(copy)) or (
            lease is not None and is_sent_unawares(lease, copy)
        )


def _make_following(lease: Lease, known: LeaseCopy | None, account: str) -> LeaseCopy | None:
    """Return the copy of a lease that comes after ``known``: a former installation's stays that until it is adopted."""
    copy = make_lease_copy(lease, account)
    if copy is not None and known is not None and is_of_former(lease, known):
        return evolve(copy, former=known.former)
    return copy
