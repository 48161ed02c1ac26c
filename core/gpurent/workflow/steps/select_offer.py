"""Step: pick the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from gpurent.domain.offer import Known, Offer, Prepaid, Requirements, Unknown
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, SoldOut, UnavailableError
from gpurent.locale import _
from gpurent.workflow.payments.rates import patience
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext


def fits(offer: Offer, wish: Requirements) -> bool:
    """Whether ``offer`` is what ``wish`` asks for; a GPU's name matches without regard to case, spaces and dashes."""
    if wish.key and offer.key != wish.key:
        return False
    if wish.cpu_only:
        return offer.hardware.gpus == 0 and _large_enough(offer, wish)
    if offer.hardware.gpus < wish.gpus or not _large_enough(offer, wish):
        return False
    return plain(wish.gpu) in plain(offer.hardware.gpu)


def _large_enough(offer: Offer, wish: Requirements) -> bool:
    """What the shop does not say is zero: nobody pays for a machine that may be too small."""
    has = offer.hardware
    return has.gpu_memory >= wish.gpu_memory and has.memory >= wish.memory and has.cpus >= wish.cpus


def plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def price(offer: Offer) -> Decimal:
    """Whole units an hour, for sorting within one currency."""
    return offer.tariff.price.value / Decimal(offer.tariff.price.per // timedelta(seconds=1))


async def listing(desk: Desk, provider: str, wish: Requirements) -> Known[Offer] | Unknown:
    """The fitting offers of one provider, cheapest first; a failure is `Unknown` with its reason."""
    seconds = patience(desk)
    try:
        async with asyncio.timeout(seconds):
            found = await desk.shop(provider).offers(wish)
    except GpurentError as error:
        return Unknown(error.message)
    except TimeoutError:
        return Unknown(_("no answer within {seconds:g} s").format(seconds=seconds))
    if isinstance(found, Unknown):
        return found
    kept = [item for item in found.items if fits(item, wish) and (item.free or wish.include_taken)]
    return Known(sorted(kept, key=lambda offer: (not offer.free, price(offer), offer.key)))


async def select_offer_now(desk: Desk, want: TripSpec) -> Offer:
    """The cheapest free offer of ``want.provider`` that fits."""
    found = await listing(desk, want.provider, want.wish)
    if isinstance(found, Unknown):
        raise UnavailableError(
            _("{provider} shows no machines: {reason}").format(provider=want.provider, reason=found.reason),
            retryable=True,
        )
    for offer in found.items:
        if long_enough(offer, want):
            return offer
    raise SoldOut(
        _("nothing free at {provider} fits {wish}").format(provider=want.provider, wish=_words(want.wish)),
        hint=_("Nothing was spent. See what there is: gpurent offers --all"),
    )


async def select(trail: TripContext, want: TripSpec) -> Offer:
    """`select_offer_now`, once for the trip."""
    return await trail.once("select", Offer, lambda: select_offer_now(trail.desk, want))


def long_enough(offer: Offer, want: TripSpec) -> bool:
    """Whether the shop lets the machine for as long as is wanted."""
    tariff = offer.tariff
    if not isinstance(tariff, Prepaid) or tariff.maximum is None or want.term is None:
        return True
    return want.term <= tariff.maximum


def _words(wish: Requirements) -> str:
    parts: Sequence[str] = (
        wish.key,
        "CPU" if wish.cpu_only else wish.gpu,
        f"x{wish.gpus}" if wish.gpus > 1 else "",
        _("{size} GiB a GPU").format(size=wish.gpu_memory) if wish.gpu_memory else "",
        _("{count} cores").format(count=wish.cpus) if wish.cpus else "",
        _("{size} GiB of memory").format(size=wish.memory) if wish.memory else "",
    )
    return " ".join(part for part in parts if part) or _("any machine")
