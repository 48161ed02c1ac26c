"""Which provider serves a trip: the first of the user's own that can, or else the cheapest of all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import DEFAULT_CODE, DEFAULT_TERM
from gpurent.domain.trip import TripPlan, TripSpec
from gpurent.errors import (
    GpurentError,
    InputRequired,
    MoneyError,
    SoldOut,
    Spent,
    UnavailableError,
    UsageError,
)
from gpurent.locale import _, join_list
from gpurent.ports.store import LeaseStore
from gpurent.workflow.manual.instructions import ManualInstructions
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.quotes import Quotes, require_funds, required_amount
from gpurent.workflow.reports.offers import Market
from gpurent.workflow.runtime.durable_steps import RESUMABLE_ERRORS, TripContext
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.steps.login import LoginStep
from gpurent.workflow.trips.previews import PlanPreviewer
from gpurent.workflow.trips.restart_kept import lease_id_of

Warn = Callable[[str], None]


@frozen
class ProviderSelector:
    """Asks the candidates one after the other, and selects the first that can be rented from now."""

    instructions: ManualInstructions
    login: LoginStep
    plan_previewer: PlanPreviewer
    budgets: Budgets
    quotes: Quotes
    market: Market
    leases: LeaseStore
    events: EventEmitter

    def name_candidates(self, spec: TripSpec) -> TripSpec:
        """Return ``spec`` with every provider where the user is logged in, if it names none.

        Raises `UsageError` if there is no login.
        """
        if spec.lease or spec.provider or spec.providers:
            return spec
        accounts = dict(self.login.logins.list_logins())
        names = [name for name in self.market.list_providers() if name in accounts]
        if not names:
            raise UsageError(
                _("no provider given, and you are not logged in anywhere"),
                hint=_("See: gpurent providers; then: gpurent login PROVIDER"),
            )
        return evolve(spec, providers=tuple(names), any_provider=True)

    async def select_provider(self, trip: TripContext, spec: TripSpec) -> TripSpec:
        """Return ``spec`` with its provider, selected once per trip: a resumed trip keeps the choice."""
        if spec.provider:
            return spec
        lost = await trip.list_lost_providers()

        async def select() -> str:
            return await self.select_first(
                spec, trip.id, lambda text: trip.emit(EventKind.WARNING, text), lost
            )

        selected = evolve(spec, provider=await trip.step("select-provider", str, select))
        await trip.store.set_trip_spec(trip.id, selected)
        return selected

    async def resolve_provider(self, spec: TripSpec) -> TripSpec:
        """Select a provider as `select_provider` does, without recording it."""
        spec = self.name_candidates(spec)
        if spec.provider:
            return spec
        name = await self.select_first(spec, "", lambda text: self.events.emit(EventKind.WARNING, text))
        return evolve(spec, provider=name)

    async def select_first(self, spec: TripSpec, trip_id: str, warn: Warn, lost: Collection[str] = ()) -> str:
        """Return the first candidate that can serve the trip now; report to ``warn`` why others are skipped.

        ``trip_id`` is empty for a trip that has not begun; ``lost``: candidates that are not asked. If there is
        none, raises `MoneyError` if no account can pay, `UnavailableError` if all failures are temporary, else
        `SoldOut`.
        """
        failures: list[GpurentError] = []
        reasons: list[str] = []
        candidates = [name for name in spec.providers if name not in lost]
        if spec.any_provider and len(candidates) > 1:
            candidates = await self._rank_by_cost(spec, candidates)
        for name in candidates:
            try:
                plan = await self._check_provider(evolve(spec, provider=name, providers=()), trip_id)
                if plan is not None and spec.any_provider and len(spec.providers) > 1:
                    # An account without money is no way to rent if another one has it.
                    await self._require_funds(name, plan, spec)
            except GpurentError as error:
                failures.append(error)
                reasons.append(_("skipping {provider}: {why}").format(provider=name, why=error.message))
                warn(reasons[-1])
            else:
                return name
        message = _("none of {providers} has a matching machine").format(providers=join_list(spec.providers))
        hint = "\n".join([*reasons, _("See all offers: gpurent offers --all")])
        if failures and all(isinstance(error, InputRequired) for error in failures):
            raise InputRequired(message, hint=hint, retryable=True)
        if failures and all(isinstance(error, MoneyError) for error in failures):
            raise MoneyError(
                _("no account can pay for the trip"),
                hint="\n".join([*reasons, failures[0].hint]),
                spent=Spent.NO,
            )
        if failures and all(isinstance(error, RESUMABLE_ERRORS) for error in failures):
            raise UnavailableError(message, hint=hint, retryable=True)
        raise SoldOut(message, hint=hint)

    async def try_next_provider(
        self, trip: TripContext, spec: TripSpec, error: GpurentError
    ) -> TripSpec | None:
        """Return ``spec`` without its provider if others took its last machine before anything was bought; else None.

        The provider is not asked again in this trip.
        """
        if not isinstance(error, SoldOut) or not spec.provider:
            return None  # the Store, which may be what failed, is not even read
        others = set(spec.providers) - {spec.provider, *await trip.list_lost_providers()}
        if not others or await trip.may_have_paid():
            return None
        lease = await self.leases.find_lease(lease_id_of(trip.id, spec))
        if lease is not None and lease.state is not LeaseState.CANCELLED:
            return None
        await trip.discard_provider(spec.provider)
        again = evolve(spec, provider="")
        await trip.store.set_trip_spec(trip.id, again)
        trip.emit(
            EventKind.WARNING,
            _("{provider}: {why}; trying the next provider").format(
                provider=spec.provider, why=error.message
            ),
        )
        return again

    async def _rank_by_cost(self, spec: TripSpec, names: Sequence[str]) -> list[str]:
        """Return ``names``, the one whose best machine costs least first; those that cannot be compared come last."""
        found = await self.market.compare_offers(
            spec.requirements, names, spec.limits.term or DEFAULT_TERM, DEFAULT_CODE
        )
        best = dict.fromkeys(item.offer.provider for item in (*found.ranked, *found.unconverted))
        return [*best, *(name for name in names if name not in best)]

    async def _require_funds(self, provider: str, plan: TripPlan, spec: TripSpec) -> None:
        funding = await self.quotes.get_funding(provider, plan.quote, spec.limits.budget)
        require_funds(provider, plan.quote, funding)

    async def _check_provider(self, spec: TripSpec, trip_id: str) -> TripPlan | None:
        """Return the plan, None if the user rents manually; raise what prevents renting.

        That is no login, no matching machine, an unavailable term, or a budget. ``trip_id`` is empty for a trip that
        has not begun.
        """
        if self.instructions.is_manual(spec.provider):
            # Only the user can see what is available.
            return None
        await self.login.ensure_login(spec.provider)
        plan = await self.plan_previewer.preview_plan(spec, trip_id)
        statuses = list(await self.budgets.list_statuses(spec.provider, trip=trip_id))
        if not trip_id and spec.limits.budget is not None:
            statuses.append(self.budgets.new_trip_status(spec.limits.budget))
        for status in statuses:
            await self.budgets.check_limit(status, required_amount(plan.quote))
        return plan
