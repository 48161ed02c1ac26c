"""Step: plan the legs of the trip and their cost."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.offer import Offer, Order, OrderKind
from gpurent.domain.trip import Leg, TripPlan, TripSpec
from gpurent.roles.lease import SupportsStaging
from gpurent.workflow.payments.quotes import Quotes, order_term, sum_quotes
from gpurent.workflow.payments.rates import RateLookup
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.volumes import VolumeTracker


async def name_attempt(trip: TripContext) -> str:
    """Return what the keys of the trip's orders are made from; the order of a lost offer is never repeated."""
    lost = len(await trip.list_lost_offers())
    return f"{trip.id}-{lost + 1}" if lost else trip.id


@frozen
class MakePlanStep:
    """Plans one leg, or two if the provider has a cheaper machine to upload on first."""

    plugins: Plugins
    quotes: Quotes
    volumes: VolumeTracker

    async def plan_trip(self, trip: TripContext, spec: TripSpec, offer: Offer) -> TripPlan:
        """Run `make_plan` once per trip."""

        async def plan() -> TripPlan:
            return await self.make_plan(spec, offer, await name_attempt(trip))

        return await trip.step("plan", TripPlan, plan)

    async def make_plan(
        self, spec: TripSpec, offer: Offer, name: str, lookup: RateLookup | None = None
    ) -> TripPlan:
        """Return the plan for ``offer``, with the keys of its orders made from ``name``; orders and writes nothing."""
        main = Order(
            key=f"{name}-main",
            kind=OrderKind.NEW,
            offer=offer,
            term=order_term(offer, spec.limits.term),
            gpus=spec.requirements.gpus if offer.hardware.gpus else 0,
            disk=spec.requirements.disk,
            image=spec.requirements.image,
            password_ref=f"password-{name}",
            volume=await self.volumes.find_wanted(offer.provider, spec.requirements),
        )
        first = self._make_staging_order(spec, main, name)
        legs: list[Leg] = []
        if first is not None:
            quote = await self.quotes.quote_offer(first.offer, first.term, lookup=lookup)
            legs.append(Leg(order=first, upload=True, job=False, quote=quote))
            main = evolve(main, kind=OrderKind.SWITCH)
        quote = await self.quotes.quote_offer(offer, main.term, main.gpus, main.disk, lookup)
        legs.append(Leg(order=main, upload=not legs, job=bool(spec.job.command), quote=quote))
        return TripPlan(offer=offer, legs=tuple(legs), quote=sum_quotes([leg.quote for leg in legs]))

    def _make_staging_order(self, spec: TripSpec, main: Order, name: str) -> Order | None:
        wanted = not spec.rent_only if spec.upload.staged is None else spec.upload.staged
        provider = self.plugins.provider(main.offer.provider)
        if not wanted or not isinstance(provider, SupportsStaging) or not main.offer.hardware.gpus:
            return None
        return evolve(provider.make_staging_order(main), key=f"{name}-stage", kind=OrderKind.NEW)
