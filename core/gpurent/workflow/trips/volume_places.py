"""The places in which volumes can be created, and what a volume costs, in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gpurent.domain.money import HOUR, UnitPrice
from gpurent.domain.volume import VolumeOffer
from gpurent.errors import UsageError
from gpurent.locale import _

MONTH = timedelta(days=30)


def describe_price(price: UnitPrice | None) -> str:
    """Return what a volume costs an hour and in 30 days."""
    if price is None or not price.is_known:
        return _("price unknown")
    return _("{hour}/h, {month} in 30 days").format(hour=price.cost(HOUR), month=price.cost(MONTH))


def select_place(offers: Sequence[VolumeOffer], region: str, size: int, provider: str) -> VolumeOffer:
    """Return the place that ``region`` names; raises `UsageError` with all places if it is not exactly one."""
    wanted = region.casefold().strip()
    found = [offer for offer in offers if not wanted or wanted in _list_names(offer)]
    exact = [offer for offer in found if offer.place.casefold() == wanted] or found
    if len(exact) != 1:
        shown = sorted(found or offers, key=lambda offer: offer.place)
        text = (
            _("{provider} has volumes in several places; choose one with --region")
            if found
            else _("{provider} has no volumes in {region}")
        )
        raise UsageError(text.format(provider=provider, region=region), hint="\n".join(map(_show, shown)))
    offer = exact[0]
    if size < offer.minimum or (offer.maximum is not None and size > offer.maximum):
        most = offer.maximum if offer.maximum is not None else "…"
        text = _("a volume there has {least} to {most} GB; choose with --size")
        raise UsageError(text.format(least=offer.minimum, most=most))
    return offer


def _list_names(offer: VolumeOffer) -> set[str]:
    parts = [offer.place, *offer.place.split("/"), *offer.location.split(",")]
    return {part.casefold().strip() for part in parts}


def _show(offer: VolumeOffer) -> str:
    words = f" ({offer.location})" if offer.location else ""
    price = offer.price.cost(MONTH) if offer.price.is_known else _("price unknown")
    return _("{place}: {price} per GB in 30 days").format(place=f"{offer.place}{words}", price=price)
