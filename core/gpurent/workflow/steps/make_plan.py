"""Step: plan the legs of the trip and what they may cost."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.offer import Offer, Order, OrderKind
from gpurent.domain.trip import Leg, Plan, TripSpec
from gpurent.roles.lease import SupportsStaging
from gpurent.workflow.payments.quotes import Quotes, term_of, total
from gpurent.workflow.payments.rates import RateLookup
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.plugins import Plugins


@frozen
class MakePlanStep:
    """One leg, or two where the provider has a cheaper machine to upload on first."""

    plugins: Plugins
    quotes: Quotes

    async def plan(self, trip: TripContext, spec: TripSpec, offer: Offer) -> Plan:
        """`make_plan`, once for the trip."""
        return await trip.step("plan", Plan, lambda: self.make_plan(spec, offer, trip.trip))

    async def make_plan(
        self, spec: TripSpec, offer: Offer, trip_id: str, lookup: RateLookup | None = None
    ) -> Plan:
        """The plan for ``offer``; orders nothing, writes nothing."""
        main = Order(
            key=f"{trip_id}-main",
            kind=OrderKind.NEW,
            offer=offer,
            term=term_of(offer, spec.limits.term),
            gpus=spec.requirements.gpus if offer.hardware.gpus else 0,
            disk=spec.requirements.disk,
            image=spec.requirements.image,
            password_ref=f"password-{trip_id}",
        )
        first = self._staging_order(spec, main, trip_id)
        legs: list[Leg] = []
        if first is not None:
            quote = await self.quotes.quote(first.offer, first.term, lookup=lookup)
            legs.append(Leg(order=first, upload=True, job=False, quote=quote))
            main = evolve(main, kind=OrderKind.SWITCH)
        quote = await self.quotes.quote(offer, main.term, main.gpus, main.disk, lookup)
        legs.append(Leg(order=main, upload=not legs, job=bool(spec.job.command), quote=quote))
        return Plan(offer=offer, legs=tuple(legs), quote=total([leg.quote for leg in legs]))

    def _staging_order(self, spec: TripSpec, main: Order, trip_id: str) -> Order | None:
        wanted = not spec.rent_only if spec.upload.staged is None else spec.upload.staged
        provider = self.plugins.provider(main.offer.provider)
        if not wanted or not isinstance(provider, SupportsStaging) or not main.offer.hardware.gpus:
            return None
        return evolve(provider.staging(main), key=f"{trip_id}-stage", kind=OrderKind.NEW)
