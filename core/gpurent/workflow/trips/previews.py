"""Previews of what could be rented now, made by a trip's own steps; nothing is ordered, paid or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from attrs import evolve, field, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.domain.transfer import UploadPreview
from gpurent.domain.trip import TripPlan, TripSpec
from gpurent.errors import GpurentError, InputRequired, SoldOut, UnavailableError
from gpurent.locale import _, join_list
from gpurent.roles.lease import SupportsMailBinding
from gpurent.terminal_text import ForeignText, to_foreign_texts
from gpurent.workflow.manual.instructions import ManualInstructions
from gpurent.workflow.payments.budgets import Budgets, BudgetStatus
from gpurent.workflow.payments.payees import Payees
from gpurent.workflow.payments.quotes import required_amount
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.durable_steps import RESUMABLE_ERRORS, TripContext
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.check_funds import CheckFundsStep
from gpurent.workflow.steps.login import LoginStep
from gpurent.workflow.steps.make_plan import MakePlanStep
from gpurent.workflow.steps.select_offer import SelectOfferStep
from gpurent.workflow.steps.upload import UploadStep
from gpurent.workflow.trips.tool_selection import ToolSelector


@frozen
class PlanPreviewer:
    select_offer: SelectOfferStep
    make_plan: MakePlanStep

    async def preview_plan(self, spec: TripSpec, trip_id: str = "") -> TripPlan:
        """Return the plan for the machine that would be selected now at ``spec.provider``."""
        offer = await self.select_offer.select_offer_now(spec)
        return await self.make_plan.make_plan(spec, offer, trip_id)


@frozen
class ProviderSelector:
    """Asks the providers in the user's order, and selects the first that can be rented from now."""

    instructions: ManualInstructions
    login: LoginStep
    plan_previewer: PlanPreviewer
    budgets: Budgets
    events: EventEmitter

    async def select_provider(self, trip: TripContext, spec: TripSpec) -> TripSpec:
        """Return ``spec`` with its provider, selected once per trip: a resumed trip keeps the choice."""
        if spec.provider:
            return spec

        async def select() -> str:
            return await self._select_first(spec, trip.id, lambda text: trip.emit(EventKind.WARNING, text))

        selected = evolve(spec, provider=await trip.step("select-provider", str, select))
        await trip.store.set_trip_spec(trip.id, selected)
        return selected

    async def resolve_provider(self, spec: TripSpec) -> TripSpec:
        """Select a provider as `select_provider` does, without recording it."""
        if spec.provider:
            return spec
        name = await self._select_first(spec, "", lambda text: self.events.emit(EventKind.WARNING, text))
        return evolve(spec, provider=name)

    async def _select_first(self, spec: TripSpec, trip_id: str, warn: Callable[[str], None]) -> str:
        """Return the first suitable one of ``spec.providers``; report to ``warn`` why others are skipped.

        If there is none, raises `UnavailableError` if all failures are temporary, else `SoldOut`.
        """
        failures: list[GpurentError] = []
        reasons: list[str] = []
        for name in spec.providers:
            try:
                await self._check_provider(evolve(spec, provider=name, providers=()), trip_id)
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
        if failures and all(isinstance(error, RESUMABLE_ERRORS) for error in failures):
            raise UnavailableError(message, hint=hint, retryable=True)
        raise SoldOut(message, hint=hint)

    async def _check_provider(self, spec: TripSpec, trip_id: str) -> None:
        """Raise what prevents renting: no login, no matching machine, an unavailable term, or a budget.

        ``trip_id`` is empty for a trip that has not begun.
        """
        if self.instructions.is_manual(spec.provider):
            # Only the user can see what is available.
            return
        await self.login.ensure_login(spec.provider)
        plan = await self.plan_previewer.preview_plan(spec, trip_id)
        statuses = list(await self.budgets.list_statuses(spec.provider, trip=trip_id))
        if not trip_id and spec.limits.budget is not None:
            statuses.append(self.budgets.new_trip_status(spec.limits.budget))
        for status in statuses:
            await self.budgets.check_limit(status, required_amount(plan.quote))


@frozen(kw_only=True)
class TripPreview:
    """``required`` must be available at once, including deposits. ``refusals``: why `gpurent run` would not begin.

    ``needs_mail_binding``: an address has to be bound first; its fee is only known from the provider's e-mail.
    ``upload``: what would be uploaded; None if the transfer backend cannot tell. ``max_runtime``: how long the balance
    or the tightest budget lasts for a metered machine. ``payees``: to whom this account's bills were paid until now.
    """

    account: str
    plan: TripPlan
    required: Money
    balance: Money
    budgets: Sequence[BudgetStatus]
    refusals: tuple[str, ...]
    needs_mail_binding: bool
    upload: UploadPreview | None
    max_runtime: timedelta | None
    payees: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)


@frozen
class DryRun:
    """Logs in, selects, plans and checks the funds, without recording anything."""

    plugins: Plugins
    logins: Logins
    plan_previewer: PlanPreviewer
    check_funds: CheckFundsStep
    upload: UploadStep
    rates: ExchangeRates
    tools: ToolSelector
    payees: Payees

    async def preview_trip(self, spec: TripSpec) -> TripPreview:
        """Return the preview for ``spec``, which names a provider where the user is logged in."""
        self.tools.check_tools(spec)
        upload = await self.upload.preview_upload(spec.upload)
        login = await self.logins.get_login(self.plugins.provider_entry(spec.provider).auth)
        provider = self.plugins.provider(spec.provider)
        binds_mail = isinstance(provider, SupportsMailBinding) and not await provider.get_bound_email()
        plan = await self.plan_previewer.preview_plan(spec)
        statuses, funding, refused = await self.check_funds.review_funds(spec, plan)
        return TripPreview(
            account=login.account,
            plan=plan,
            required=required_amount(plan.quote),
            balance=funding.balance,
            budgets=statuses,
            refusals=refused,
            needs_mail_binding=binds_mail,
            upload=upload,
            max_runtime=await self._compute_max_runtime(plan, funding.balance, statuses),
            payees=tuple(await self.payees.list_payees(spec.provider, login.account)),
        )

    async def _compute_max_runtime(
        self, plan: TripPlan, balance: Money, statuses: Sequence[BudgetStatus]
    ) -> timedelta | None:
        """Return how long a metered machine runs until the balance or the first budget is used up."""
        tariff = plan.offer.tariff
        hour = tariff.price.cost(timedelta(hours=1))
        if not isinstance(tariff, Metered) or hour.currency != balance.currency or hour.amount <= 0:
            return None
        rooms = [balance]
        for status in statuses:
            # Skip a budget for which there is no exchange rate.
            with suppress(GpurentError):
                conversion = await self.rates.get_conversion(status.left.currency, balance.currency)
                rooms.append(conversion.convert(status.left, round_up=False))
        return timedelta(hours=1) * max(0, min(room.amount for room in rooms)) / hour.amount
