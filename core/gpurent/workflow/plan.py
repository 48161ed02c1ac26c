"""Step: the legs of the trip and what they may cost."""

from __future__ import annotations

from attrs import evolve

from gpurent.model.offer import Offer
from gpurent.model.order import Order, OrderKind
from gpurent.model.trip import Leg, Plan, Want
from gpurent.ports.lease import Staging
from gpurent.workflow.desk import Desk
from gpurent.workflow.money.quotes import quote, term_of, total
from gpurent.workflow.money.rates import Rates
from gpurent.workflow.trail import Trail


async def draw(desk: Desk, want: Want, offer: Offer, trip: str, rates: Rates | None = None) -> Plan:
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
    if staged and isinstance(shop, Staging) and offer.hardware.gpus:
        first = evolve(shop.staging(final), key=f"{trip}-stage", kind=OrderKind.NEW)
        price = await quote(desk, first.offer, first.term, rates=rates)
        legs.append(Leg(order=first, cargo=True, job=False, quote=price))
        final = evolve(final, kind=OrderKind.SWITCH)
    price = await quote(desk, offer, final.term, final.gpus, final.disk, rates)
    legs.append(Leg(order=final, cargo=not legs, job=works, quote=price))
    return Plan(offer=offer, legs=tuple(legs), quote=total([leg.quote for leg in legs]))


async def plan(trail: Trail, want: Want, offer: Offer) -> Plan:
    """`draw`, once for the trip."""
    return await trail.once("plan", Plan, lambda: draw(trail.desk, want, offer, trail.trip))
