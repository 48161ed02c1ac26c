"""What could be rented now, by the very steps that a trip takes, but nothing is ordered, paid or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.domain.trip import Plan, TripSpec
from gpurent.errors import GpurentError, SoldOut, UnavailableError
from gpurent.locale import _
from gpurent.roles.lease import SupportsMailBinding
from gpurent.workflow.manual.instructions import InstructionsSender
from gpurent.workflow.payments.budgets import Budgets, BudgetStatus
from gpurent.workflow.payments.quotes import needed
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.durable_steps import RESUMABLE, TripContext
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.check_funds import CheckFundsStep
from gpurent.workflow.steps.login import LoginStep
from gpurent.workflow.steps.make_plan import MakePlanStep
from gpurent.workflow.steps.select_offer import SelectOfferStep


@frozen
class PlanPreview:
    select_offer: SelectOfferStep
    make_plan: MakePlanStep

    async def preview_plan(self, spec: TripSpec, trip_id: str = "") -> Plan:
        """For the machine that would be selected now at ``spec.provider``."""
        offer = await self.select_offer.select_now(spec)
        return await self.make_plan.make_plan(spec, offer, trip_id)


@frozen
class ProviderSelector:
    """Asks the providers in the user's order, and takes the first that can serve now."""

    instructions: InstructionsSender
    login: LoginStep
    plans: PlanPreview
    budgets: Budgets
    events: EventEmitter

    async def select_provider(self, trip: TripContext, spec: TripSpec) -> TripSpec:
        """``spec`` with its provider, once for the trip: from here on a resume stays with the choice."""
        if spec.provider:
            return spec

        async def select() -> str:
            return await self._first(spec, trip.trip, lambda text: trip.emit(EventKind.WARNING, text))

        selected = evolve(spec, provider=await trip.step("choose", str, select))
        trip.store.set_trip_spec(trip.trip, selected)
        return selected

    async def resolve(self, spec: TripSpec) -> TripSpec:
        """As `select_provider`, but nothing is recorded."""
        if spec.provider:
            return spec
        name = await self._first(spec, "", lambda text: self.events.emit(EventKind.WARNING, text))
        return evolve(spec, provider=name)

    async def _first(self, spec: TripSpec, trip_id: str, warn: Callable[[str], None]) -> str:
        """The first of ``spec.providers`` that serves; ``warn`` hears why others are passed over.

        None: `UnavailableError` when nothing but silence was in the way, else `SoldOut`.
        """
        failures: list[GpurentError] = []
        reasons: list[str] = []
        for name in spec.providers:
            try:
                await self._check(evolve(spec, provider=name, providers=()), trip_id)
            except GpurentError as error:
                failures.append(error)
                reasons.append(_("{provider} is passed over: {why}").format(provider=name, why=error.message))
                warn(reasons[-1])
            else:
                return name
        message = _("none of {providers} has what is wanted").format(providers=", ".join(spec.providers))
        hint = "\n".join([*reasons, _("Nothing was spent. See what there is: gpurent offers --all")])
        if failures and all(isinstance(error, RESUMABLE) for error in failures):
            raise UnavailableError(message, hint=hint, retryable=True)
        raise SoldOut(message, hint=hint)

    async def _check(self, spec: TripSpec, trip_id: str) -> None:
        """Raises what stands in the way: the login, no fitting machine, a term that is not let, a budget.

        ``trip_id`` is empty for a trip that has not begun.
        """
        if self.instructions.is_manual(spec.provider):
            # Nobody but the user can see what there is.
            return
        await self.login.login_now(spec.provider)
        plan = await self.plans.preview_plan(spec, trip_id)
        statuses = list(await self.budgets.statuses(spec.provider, trip=trip_id))
        if not trip_id and spec.limits.budget is not None:
            statuses.append(self.budgets.own_status(spec.limits.budget))
        for status in statuses:
            await self.budgets.check_within(status, needed(plan.quote))


@frozen(kw_only=True)
class Preview:
    """``needed`` has to be there at once, deposits and all. ``refused``: why `gpurent run` would not even begin.

    ``binds_mail``: an address has to be bound first; what the provider asks for that stands in its mail only.
    ``lasts``: how long the balance, or the tightest budget, lets a metered machine run.
    """

    account: str
    plan: Plan
    needed: Money
    balance: Money
    budgets: Sequence[BudgetStatus]
    refused: tuple[str, ...]
    binds_mail: bool
    lasts: timedelta | None


@frozen
class DryRun:
    """Log in, select, plan, check the funds; each without a record."""

    plugins: Plugins
    logins: Logins
    plans: PlanPreview
    check_funds: CheckFundsStep
    rates: ExchangeRates

    async def preview(self, spec: TripSpec) -> Preview:
        """``spec`` names its provider, where the user is logged in."""
        login = await self.logins.login(self.plugins.provider_entry(spec.provider).auth)
        provider = self.plugins.provider(spec.provider)
        binds_mail = isinstance(provider, SupportsMailBinding) and not await provider.bound()
        plan = await self.plans.preview_plan(spec)
        statuses, funding, refused = await self.check_funds.review(spec, plan)
        return Preview(
            account=login.account,
            plan=plan,
            needed=needed(plan.quote),
            balance=funding.balance,
            budgets=statuses,
            refused=refused,
            binds_mail=binds_mail,
            lasts=await self._lasts(plan, funding.balance, statuses),
        )

    async def _lasts(self, plan: Plan, balance: Money, statuses: Sequence[BudgetStatus]) -> timedelta | None:
        """How long a metered machine runs until the balance or the first of the budgets is used up."""
        tariff = plan.offer.tariff
        hour = tariff.price.cost(timedelta(hours=1))
        if not isinstance(tariff, Metered) or hour.currency != balance.currency or hour.amount <= 0:
            return None
        rooms = [balance]
        for status in statuses:
            # For want of a rate nobody knows.
            with suppress(GpurentError):
                conversion = await self.rates.conversion(status.left.currency, balance.currency)
                rooms.append(conversion.convert(status.left, up=False))
        return timedelta(hours=1) * max(0, min(room.amount for room in rooms)) / hour.amount
