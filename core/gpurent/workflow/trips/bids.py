"""The user's command that changes what a spot machine costs."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.question import Question, QuestionKind
from gpurent.errors import LeaseError, Spent, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.roles.lease import SupportsInterruption
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.restore_checks import RestoreChecks

DAY = timedelta(days=1)


@frozen
class BidChanges:
    leases: LeaseTracker
    locks: WorkLocks
    questions: Questions
    checks: RestoreChecks

    async def change_bid(self, lease_id: str, price: UnitPrice) -> Lease:
        """Pay ``price`` for the spot machine from now on, once the user has agreed; return its lease.

        Raises `Declined` or `ConfirmationRequired` if nobody agrees, `UsageError` for another machine.
        """
        lease = await self.leases.try_refresh_lease(lease_id)
        provider = self.leases.plugins.provider_of(lease)
        self.leases.plugins.require_account_of(lease)
        await self.checks.require_checked(lease.provider, lease_id=lease.id)
        if not lease.offer.spot or not isinstance(provider, SupportsInterruption):
            raise UsageError(_("{lease} is no spot machine, so its price is fixed").format(lease=lease.id))
        if lease.is_over:
            raise LeaseError(_("{lease} is over ({state})").format(lease=lease.id, state=lease.state.title))
        await self._confirm(lease, price)
        async with self.locks.lock_lease(lease.id):
            current = await self.leases.get_lease(lease.id)
            if current.is_stopped and self.leases.connector is not None:
                # By our own order it comes back, at another address.
                self.leases.connector.retire_host_keys(lease.id)
            seen = await self.leases.request_bid(current, provider, price)
        if isinstance(seen, Unknown):
            raise UnavailableError(
                _("it is unknown whether the bid for {lease} was changed: {reason}").format(
                    lease=lease.id, reason=seen.reason
                ),
                retryable=True,
                spent=Spent.UNKNOWN,
                burning=(lease.id,),
            )
        return seen

    async def _confirm(self, lease: Lease, price: UnitPrice) -> None:
        details = (
            _("Now it costs {price}, its disk included.").format(price=lease.offer.tariff.price),
            _("A bid of {bid} is {cost} a day, and its disk comes on top.").format(
                bid=price, cost=price.cost(DAY)
            ),
        )
        question = Question(
            id=f"bid:{lease.id}:{price}",
            kind=QuestionKind.SPEND,
            text=_("Change the bid for {lease} to {bid}?").format(lease=lease.id, bid=price),
            details=details,
        )
        refused = _("the bid for {lease} was not changed").format(lease=lease.id)
        await self.questions.require_yes(question, "\n".join((refused, *details)))
