"""Previews of what could be rented now, made by a trip's own steps; nothing is ordered, paid or written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from attrs import field, frozen

from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.domain.transfer import UploadPreview
from gpurent.domain.trip import TripPlan, TripSpec
from gpurent.errors import GpurentError
from gpurent.roles.lease import SupportsMailBinding
from gpurent.terminal_text import ForeignText, to_foreign_texts
from gpurent.workflow.payments.budgets import BudgetStatus
from gpurent.workflow.payments.payees import Payees
from gpurent.workflow.payments.quotes import required_amount
from gpurent.workflow.payments.rates import ExchangeRates
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.steps.check_funds import CheckFundsStep
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


@frozen(kw_only=True)
class TripPreview:
    """``required`` must be available at once, including deposits. ``refusals``: why `gpurent run` would not begin.

    ``needs_mail_binding``: an address has to be bound first; its fee is only known from the provider's e-mail.
    ``upload``: what would be uploaded; None if the transfer backend cannot tell. ``max_runtime``: how long the balance
    or the tightest budget lasts for a metered machine. ``payees``: to whom this account's bills were paid until now.
    ``balance``: None for an account that is billed afterwards.
    """

    account: str
    plan: TripPlan
    required: Money
    balance: Money | None
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
        self, plan: TripPlan, balance: Money | None, statuses: Sequence[BudgetStatus]
    ) -> timedelta | None:
        """Return how long a metered machine runs until the balance or the first budget is used up."""
        tariff = plan.offer.tariff
        hour = tariff.price.cost(timedelta(hours=1))
        if not isinstance(tariff, Metered) or hour.amount <= 0:
            return None
        if balance is not None and hour.currency != balance.currency:
            return None
        rooms = [balance] if balance is not None else []
        for status in statuses:
            # Skip a budget for which there is no exchange rate.
            with suppress(GpurentError):
                conversion = await self.rates.get_conversion(status.left.currency, hour.currency)
                rooms.append(conversion.convert(status.left, round_up=False))
        if not rooms:
            return None
        return timedelta(hours=1) * max(0, min(room.amount for room in rooms)) / hour.amount
