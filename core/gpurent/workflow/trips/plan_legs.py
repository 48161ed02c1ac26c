"""The planning of a trip, up to the authorization to spend; nothing has been ordered or paid before that."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.trip import AgreedPrice, TripPlan, TripSpec
from gpurent.workflow.connection.upload_previews import format_upload
from gpurent.workflow.payments.authorize_spending import SpendingAuthorizer
from gpurent.workflow.payments.quotes import Funding
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.steps.bind_mail import BindMailStep
from gpurent.workflow.steps.check_funds import CheckFundsStep
from gpurent.workflow.steps.login import LoginStep
from gpurent.workflow.steps.make_plan import MakePlanStep, name_attempt
from gpurent.workflow.steps.select_offer import SelectOfferStep
from gpurent.workflow.steps.upload import UploadStep
from gpurent.workflow.trips.machine_work import LegSpec
from gpurent.workflow.trips.proposals import propose_plan


@frozen
class TripPlanner:
    login: LoginStep
    select_offer: SelectOfferStep
    make_plan: MakePlanStep
    check_funds: CheckFundsStep
    authorizer: SpendingAuthorizer
    upload: UploadStep
    bind_mail: BindMailStep

    async def plan_legs(self, trip: TripContext, spec: TripSpec) -> tuple[LegSpec, ...]:
        """Return the legs, once the user has authorized their price and, if needed, an e-mail address is bound."""
        await self.login.log_in(trip, spec.provider)
        is_resumed = await trip.find_result("plan", TripPlan) is not None
        offer = await self.select_offer.select_offer(trip, spec)
        plan = await self.make_plan.plan_trip(trip, spec, offer)
        funding = await self.check_funds.check_funds(trip, spec, plan)
        if not await has_ordered(trip):
            if is_resumed:
                plan, funding = await self._update_price(trip, spec, plan, funding)
            await self._authorize(trip, spec, plan, funding)
            await self.bind_mail.bind_mail(trip, spec.provider)
        return tuple(
            LegSpec(
                upload=leg.upload and not spec.rent_only,
                job=leg.job,
                budget=funding.budget,
                order=leg.order,
                agreed=AgreedPrice.from_quote(leg.quote),
            )
            for leg in plan.legs
        )

    async def _update_price(
        self, trip: TripContext, spec: TripSpec, plan: TripPlan, funding: Funding
    ) -> tuple[TripPlan, Funding]:
        """Return the plan at the price that its machine has now, and its funding; unchanged if that is not known."""
        found = await self.select_offer.listing.list_fitting_offers(spec.provider, spec.requirements)
        same = () if isinstance(found, Unknown) else (it for it in found.items if it.key == plan.offer.key)
        offer = next(iter(same), plan.offer)
        if offer.tariff == plan.offer.tariff and offer.deposit == plan.offer.deposit:
            return plan, funding
        updated = await self.make_plan.make_plan(spec, offer, await name_attempt(trip))
        new_funding = await self.check_funds.check_funds_now(trip, spec, updated)
        await trip.replace_result("plan", updated)
        await trip.replace_result("check-funds", new_funding)
        return updated, new_funding

    async def _authorize(self, trip: TripContext, spec: TripSpec, plan: TripPlan, funding: Funding) -> None:
        upload = None if spec.rent_only else await self.upload.preview_upload(spec.upload)
        proposal = propose_plan(
            plan,
            spec,
            funding,
            await self.check_funds.budgets.list_limits(spec.provider, trip.id),
            [] if upload is None else format_upload(upload, spec.upload.folder),
            binds_mail=await self.bind_mail.is_needed(spec.provider),
        )
        await self.authorizer.require_authorization(trip, spec.provider, spec.limits, proposal)


async def has_ordered(trip: TripContext) -> bool:
    """Return whether an order of the trip has begun: from then on, its price is fixed."""
    return any(name.endswith(".reserve") for name in await trip.steps_by_name())
