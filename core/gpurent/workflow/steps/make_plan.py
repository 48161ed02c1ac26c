"""Step: the legs of the trip and what they may cost."""

from __future__ import annotations

from attrs import evolve

from gpurent.domain.offer import Offer
from gpurent.domain.order import Order, OrderKind
from gpurent.domain.trip import Leg, Plan, TripSpec
from gpurent.roles.lease import SupportsStaging
from gpurent.workflow.payments.quotes import quote, term_of, total
from gpurent.workflow.payments.rates import Rates
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext


async def make_plan(desk: Desk, want: TripSpec, offer: Offer, trip: str, rates: Rates | None = None) -> Plan:
    """One leg, or two where the provider has a cheaper machine to upload on first. Orders nothing, writes nothing."""
    shop = desk.shop(offer.provider)
    final = Order(
        key=f"{trip}-main",
        kind=OrderKind.NEW,
        offer=offer,
        term=term_of(offer, want),
        gpus=want.wish.gpus if offer.hardware.gpus else 0,
        disk=want.disk,
        image=want.image,
        password_ref=f"password-{trip}",
    )
    works = bool(want.command)
    legs: list[Leg] = []
    staged = want.staged if want.staged is not None else not want.only_rent
    if staged and isinstance(shop, SupportsStaging) and offer.hardware.gpus:
        first = evolve(shop.staging(final), key=f"{trip}-stage", kind=OrderKind.NEW)
        price = await quote(desk, first.offer, first.term, rates=rates)
        legs.append(Leg(order=first, cargo=True, job=False, quote=price))
        final = evolve(final, kind=OrderKind.SWITCH)
    price = await quote(desk, offer, final.term, final.gpus, final.disk, rates)
    legs.append(Leg(order=final, cargo=not legs, job=works, quote=price))
    return Plan(offer=offer, legs=tuple(legs), quote=total([leg.quote for leg in legs]))


async def plan(trail: TripContext, want: TripSpec, offer: Offer) -> Plan:
    """`make_plan`, once for the trip."""
    return await trail.once("plan", Plan, lambda: make_plan(trail.desk, want, offer, trail.trip))
