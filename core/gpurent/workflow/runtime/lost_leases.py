"""Leases that only the second copy still knows: the Store is new, damaged, or was restored from an old backup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from gpurent.domain.lease_copy import LeaseCopy, restore_lease
from gpurent.errors import ConfirmationRequired, Declined, GpurentError, InputRequired
from gpurent.locale import _, ngettext

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.domain.offer import Offer, Order
    from gpurent.workflow.runtime.durable_steps import TripContext
    from gpurent.workflow.runtime.leases import LeaseTracker
    from gpurent.workflow.runtime.questions import Questions
    from gpurent.workflow.runtime.restore_checks import RestoreChecks


def format_copy(copy: LeaseCopy) -> str:
    """Return one line for a lease that is known from its copy alone."""
    parts = [copy.provider, copy.ref or (copy.order.ref if copy.order is not None else ""), copy.machine]
    if copy.gpu:
        parts.append(f"{copy.gpus} x {copy.gpu}")
    if copy.endpoint is not None:
        parts.append(f"{copy.endpoint.host}:{copy.endpoint.port}")
    parts.append(str(copy.price))
    return f"{copy.lease}: {', '.join(filter(None, parts))}"


def format_lost_leases(copies: Sequence[LeaseCopy]) -> str:
    """Return what to tell the user before anything else is done; empty if nothing is lost."""
    if not copies:
        return ""
    head = ngettext(
        "The journal does not know this lease, which was rented from here and may still cost money:",
        "The journal does not know these leases, which were rented from here and may still cost money:",
        len(copies),
    )
    lines = "\n".join(f"  {format_copy(copy)}" for copy in copies)
    hint = _("See: gpurent orphans")
    return f"{head}\n{lines}\n{hint}"


def format_former_leases(copies: Sequence[LeaseCopy]) -> str:
    """Return what to tell the user of the leases of a former installation; empty if there are none."""
    if not copies:
        return ""
    head = ngettext(
        "This lease was rented before the backup was restored. It may cost money, and nobody looks after it:",
        "These leases were rented before the backup was restored. They may cost money, and nobody looks after them:",
        len(copies),
    )
    lines = "\n".join(f"  {format_copy(copy)}" for copy in copies)
    hint = _("See: gpurent orphans")
    return f"{head}\n{lines}\n{hint}"


def add_lost_leases(error: GpurentError, copies: Sequence[LeaseCopy]) -> None:
    """Add to an error about the Store which leases may still cost money, as the second copy has them."""
    if not copies:
        return
    lines = "\n".join(f"  {format_copy(copy)}" for copy in copies)
    text = _("These leases may still cost money. Once the journal can be used again: gpurent orphans")
    error.hint = f"{error.hint}\n{text}\n{lines}".strip()
    error.burning = tuple(copy.lease for copy in copies)


@frozen
class LostLeases:
    leases: LeaseTracker
    questions: Questions
    checks: RestoreChecks

    async def list_lost_leases(self) -> Sequence[LeaseCopy]:
        return await self.leases.copier.list_lost_leases()

    async def restore_lease(self, copy: LeaseCopy, offer: Offer | None = None) -> Lease:
        """Save the lease again under its id, from its copy; ``offer``: as the provider lists it now."""
        before = await self.leases.store.find_lease(copy.lease)
        lease = restore_lease(copy, offer)
        if before is not None:
            bills = (*before.bills, *(bill for bill in lease.bills if bill not in before.bills))
            lease = evolve(lease, bills=bills, offer=offer or before.offer)
        return await self.leases.save_lease(lease)

    async def restore_if_lost(self, lease_id: str) -> bool:
        """Save the lease with exactly this id again if it is lost, as the user named it; return whether it was."""
        copy = await self.leases.copier.find_lost_lease(lease_id)
        if copy is None or copy.is_declared:
            return False
        await self.restore_lease(copy)
        return True

    async def confirm_order(self, trip: TripContext, order: Order, lease_id: str) -> None:
        """Ask before an order is placed while leases are lost. Raises with nothing ordered.

        After a restore from a backup, it is refused until the user has looked (`RestoredUnchecked`).

        An order for a lost lease may have been carried out already, so it is refused (`InputRequired`, and the trip
        stays open); another machine is rented only if the user agrees (`Declined`, `ConfirmationRequired`).
        """
        await self.checks.require_checked(order.offer.provider, trip.id, lease_id)
        lost = await self.list_lost_leases()
        if not lost:
            return
        burning = tuple(copy.lease for copy in lost)
        if lease_id in burning:
            raise InputRequired(
                _("the journal is older than the last order for {lease}").format(lease=lease_id),
                hint=_("Adopt the lease first: gpurent orphans --adopt {lease}").format(lease=lease_id),
                burning=(lease_id,),
                retryable=True,
            )
        if order.onto or await self.leases.store.find_lease(lease_id) is not None:
            return
        from gpurent.domain.question import Question, QuestionKind

        question = Question(
            id=f"lost-leases:{order.key}",
            kind=QuestionKind.SPEND,
            text=_("Rent another machine all the same?"),
            details=tuple(format_lost_leases(lost).splitlines()),
        )
        refused = _(
            "nothing was rented: leases from here may still cost money that the journal does not know"
        )
        try:
            await self.questions.require_yes(question, refused)
        except (ConfirmationRequired, Declined) as error:
            error.burning = burning
            raise
