"""The authorization to spend: asked once before the first order of a trip, and again only if the price rises."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.spending import AuthorizedBy, SpendingAuthorization, SpendingProposal
from gpurent.domain.trip import TripLimits
from gpurent.errors import ConfirmationRequired
from gpurent.locale import _
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.restore_checks import RestoreChecks
from gpurent.workflow.runtime.trip_chain import list_earlier_trips

_STEP = "authorize"


@frozen
class SpendingAuthorizer:
    """Decides whether money may leave; what it decides is recorded with the trip."""

    budgets: Budgets
    questions: Questions
    checks: RestoreChecks

    async def require_authorization(
        self, trip: TripContext, provider: str, limits: TripLimits, proposal: SpendingProposal
    ) -> None:
        """Return once the user has authorized the price of ``proposal``, now or earlier in this trip or one before it.

        Without anybody to ask, a budget on the command line or in the user's settings authorizes it. Raises `Declined`
        or `ConfirmationRequired` if it is not authorized; nothing has been ordered then.
        """
        await self.checks.require_checked(provider, trip.id)
        known = await self._list_authorizations(trip)
        if any(item.covers(proposal) for item in known):
            return
        if any(item.covers(proposal) for item in await self._list_earlier(trip)):
            return
        by = await self._authorize(trip, provider, limits, proposal)
        authorization = _make_authorization(proposal, by)
        await trip.record_result(f"{_STEP}-{len(known) + 1}" if known else _STEP, authorization)

    async def require_extra_authorization(
        self, trip: TripContext, step: str, provider: str, limits: TripLimits, proposal: SpendingProposal
    ) -> None:
        """Return once the user has authorized ``proposal`` itself: no earlier yes of the trip was for it.

        What was decided is recorded as ``step``. Raises as `require_authorization` does.
        """
        await self.checks.require_checked(provider, trip.id)
        if await trip.find_result(step, SpendingAuthorization) is None:
            by = await self._authorize(trip, provider, limits, proposal)
            await trip.record_result(step, _make_authorization(proposal, by))

    async def _list_earlier(self, trip: TripContext) -> Sequence[SpendingAuthorization]:
        """Return what was authorized for the trips with whose work this one goes on."""
        found: list[SpendingAuthorization] = []
        for earlier in await list_earlier_trips(trip.store, trip.id):
            found += await self._list_authorizations(evolve(trip, id=earlier.id))
        return found

    @staticmethod
    async def _list_authorizations(trip: TripContext) -> Sequence[SpendingAuthorization]:
        names = [name for name in await trip.steps_by_name() if name.partition("-")[0] == _STEP]
        found = [await trip.find_result(name, SpendingAuthorization) for name in names]
        return [item for item in found if item is not None]

    async def _authorize(
        self, trip: TripContext, provider: str, limits: TripLimits, proposal: SpendingProposal
    ) -> AuthorizedBy:
        if self.questions.can_confirm:
            await self._ask_user(trip, proposal)
            return AuthorizedBy.USER
        trip.emit(EventKind.PRICE, "\n  ".join(proposal.details))
        # Budgets were checked against this price before.
        if limits.budget is not None and limits.budget_authorizes:
            return AuthorizedBy.BUDGET
        if self.budgets.has_month_budget(provider):
            return AuthorizedBy.SETTINGS
        raise ConfirmationRequired(
            _("nobody is here to agree to the price; nothing was ordered"),
            retryable=True,
            hint=_(
                "Without a terminal, money is spent only with -y, within --budget AMOUNT on the command line, "
                'or within [budget] month = "AMOUNT" in config.toml.'
            ),
        )

    async def _ask_user(self, trip: TripContext, proposal: SpendingProposal) -> None:
        terms = (proposal.price, proposal.highest, proposal.deposit)
        question = Question(
            id=f"spend:{trip.id}:{':'.join(str(item) for item in terms)}",
            kind=QuestionKind.SPEND,
            text=proposal.question,
            trip=trip.id,
            details=proposal.details,
        )
        await self.questions.require_yes(question, _("you did not agree to the price; nothing was ordered"))


def _make_authorization(proposal: SpendingProposal, by: AuthorizedBy) -> SpendingAuthorization:
    return SpendingAuthorization(
        price=proposal.price, highest=proposal.highest, deposit=proposal.deposit, by=by
    )
