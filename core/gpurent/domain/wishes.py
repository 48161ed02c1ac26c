"""Whether an offer meets what the user wants. What a provider does not state never counts as met. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum

from gpurent.domain.gpu_names import matches_gpu
from gpurent.domain.offer import Offer, Requirements
from gpurent.locale import N_, _, ngettext

MAX_VERSION_PARTS = 3


class Wish(Enum):
    """A requirement that some providers state nothing about. ANY_PRICE is always one: to know what it costs."""

    GPU_MEMORY = "gpu-memory"
    MEMORY = "memory"
    CPUS = "cpus"
    DISK = "disk"
    REGION = "region"
    RELIABILITY = "reliability"
    CUDA = "cuda"
    TRAFFIC = "traffic"
    VOLUME = "volume"
    PRICE = "price"
    ANY_PRICE = "any-price"

    @property
    def title(self) -> str:
        return _(_TITLES[self])


_TITLES: Mapping[Wish, str] = {
    Wish.GPU_MEMORY: N_("GPU memory"),
    Wish.MEMORY: N_("memory"),
    Wish.CPUS: N_("CPU cores"),
    Wish.DISK: N_("disk size"),
    Wish.REGION: N_("region"),
    Wish.RELIABILITY: N_("reliability"),
    Wish.CUDA: "CUDA",
    Wish.TRAFFIC: N_("traffic price"),
    Wish.VOLUME: N_("which volumes it can mount"),
    Wish.PRICE: N_("price in the currency of the maximum, or an exchange rate"),
    Wish.ANY_PRICE: N_("price, which you can declare if the provider has a setting for it"),
}


def fits(offer: Offer, requirements: Requirements) -> bool:
    """Return whether ``offer`` matches; GPU names by `matches_gpu`."""
    return _is_of_kind(offer, requirements) and all(check_wishes(offer, requirements).values())


def find_unstated_wishes(offer: Offer, requirements: Requirements) -> tuple[Wish, ...]:
    """Return the wishes for which alone the offer is left out, as it states nothing about them; empty if it fits."""
    if not _is_of_kind(offer, requirements):
        return ()
    checked = check_wishes(offer, requirements)
    if False in checked.values():
        return ()
    return tuple(wish for wish, is_met in checked.items() if is_met is None)


def describe_unstated(unstated: Mapping[Wish, int]) -> list[str]:
    """Return one line for each wish, with the number of offers that state nothing about it."""
    return [
        ngettext(
            "{count} machine was left out, because its provider does not state: {wish}",
            "{count} machines were left out, because their provider does not state: {wish}",
            count,
        ).format(count=count, wish=wish.title)
        for wish, count in unstated.items()
    ]


def _is_of_kind(offer: Offer, requirements: Requirements) -> bool:
    if requirements.machine and offer.key != requirements.machine:
        return False
    if offer.spot is not requirements.spot:
        return False
    if requirements.cpu_only:
        return offer.hardware.gpus == 0
    has = offer.hardware
    return has.gpus >= requirements.gpus and matches_gpu(requirements.gpu, has.gpu)


def check_wishes(offer: Offer, requirements: Requirements) -> Mapping[Wish, bool | None]:
    """Return whether each wish is met; None: the offer states nothing about it."""
    has, wanted = offer.hardware, requirements
    checks: tuple[tuple[Wish, bool, Callable[[], bool | None]], ...] = (
        (Wish.GPU_MEMORY, bool(wanted.gpu_memory), lambda: _is_enough(has.gpu_memory, wanted.gpu_memory)),
        (Wish.MEMORY, bool(wanted.memory), lambda: _is_enough(has.memory, wanted.memory)),
        (Wish.CPUS, bool(wanted.cpus), lambda: _is_enough(has.cpus, wanted.cpus)),
        (Wish.DISK, bool(wanted.disk and has.gpus), lambda: _has_disk(offer, wanted)),
        (Wish.REGION, bool(wanted.regions), lambda: _is_in_region(offer, wanted)),
        (Wish.RELIABILITY, wanted.min_reliability is not None, lambda: _is_reliable(offer, wanted)),
        (Wish.CUDA, bool(wanted.cuda), lambda: _has_cuda(offer, wanted)),
        (Wish.VOLUME, wanted.mounted is not None, lambda: _can_mount(offer, wanted)),
        (Wish.TRAFFIC, wanted.max_traffic_price is not None, lambda: _has_cheap_traffic(offer, wanted)),
    )
    return {wish: check() for wish, is_wanted, check in checks if is_wanted}


def _is_enough(has: int, wanted: int) -> bool | None:
    """A size of 0 is not reported."""
    return has >= wanted if has else None


def _has_disk(offer: Offer, wanted: Requirements) -> bool | None:
    if offer.disk is None:
        return _is_enough(offer.hardware.disk, wanted.disk)
    return offer.disk.maximum is None or wanted.disk <= offer.disk.maximum


def _is_in_region(offer: Offer, wanted: Requirements) -> bool | None:
    place = offer.location.casefold()
    parts = {place.strip(), *(part.strip() for part in place.split(","))}
    return any(region.casefold().strip() in parts for region in wanted.regions) if place.strip() else None


def _can_mount(offer: Offer, wanted: Requirements) -> bool | None:
    if not offer.volume_place or wanted.mounted is None:
        return None
    return offer.volume_place == wanted.mounted.place


def _is_reliable(offer: Offer, wanted: Requirements) -> bool | None:
    if offer.reliability is None or wanted.min_reliability is None:
        return None
    return offer.reliability >= wanted.min_reliability


def _has_cuda(offer: Offer, wanted: Requirements) -> bool | None:
    has = parse_version(offer.cuda)
    return has >= parse_version(wanted.cuda) if has else None


def parse_version(text: str) -> tuple[int, ...]:
    """Return ``12.4`` as (12, 4); empty if it is none."""
    if not re.fullmatch(rf"[0-9]{{1,4}}(\.[0-9]{{1,4}}){{0,{MAX_VERSION_PARTS - 1}}}", text, re.ASCII):
        return ()
    return tuple(int(part) for part in text.split("."))


def _has_cheap_traffic(offer: Offer, wanted: Requirements) -> bool | None:
    """Prices in another currency are not compared."""
    most, has = wanted.max_traffic_price, offer.traffic
    if most is None or has is None:
        return None
    if has.highest and has.currency.code != most.currency.code:
        return None
    return has.highest <= most.highest
