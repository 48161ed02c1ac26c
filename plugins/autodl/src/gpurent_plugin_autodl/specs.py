"""What can be ordered: AutoDL's GPU specifications, and what the user declares that each costs. Pure.

The API lists neither; the ids are those of its documentation and of clients that were run against it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from attrs import frozen

from gpurent.api import Currency, Hardware, Metered, Offer, UnitPrice, UsageError, quote_text
from gpurent_plugin_autodl import _

# The service bills thousandths of a yuan.
CNY = Currency("CNY", 3)
BILLING_INCREMENT = timedelta(seconds=1)  # assumed
MAX_GPUS = 4
SYSTEM_DISK = 30
"""GB of each machine. A larger one is not offered: what it costs is not known."""


@frozen
class GpuSpec:
    """``memory``: GiB of each GPU, 0 if that is not known."""

    gpu: str
    memory: int = 0


SPECS: Mapping[str, GpuSpec] = {
    "v-48g-350w": GpuSpec("RTX 3090", 48),
    "4090D": GpuSpec("RTX 4090D", 24),
    "v-32g-p": GpuSpec("RTX 4080 SUPER", 32),
    "v-48g": GpuSpec("RTX 4090", 48),
    "5090-p": GpuSpec("RTX 5090", 32),
    "pro6000-p": GpuSpec("RTX PRO 6000", 96),
    "h800": GpuSpec("H800", 80),
}
_SPEC_ID = r"[A-Za-z0-9][A-Za-z0-9-]{0,39}"
_KEY = re.compile(rf"(?P<spec>{_SPEC_ID})(?::(?P<gpus>[2-{MAX_GPUS}]))?", re.ASCII)
_PRICE = re.compile(
    rf"(?P<spec>{_SPEC_ID})\s*[\s=:]\s*(?P<price>\d{{1,6}}(?:\.\d{{1,3}})?)(?:\s*CNY)?", re.ASCII
)


def parse_prices(text: str) -> Mapping[str, Decimal]:
    """Parse ``v-48g 2.98, h800 8.88``: CNY per hour of one GPU, by the id of its specification.

    Raises `ValueError` for any other text, and for a price of 0.
    """
    found = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,;\n]", text))):
        match = _PRICE.fullmatch(part)
        price = Decimal(match["price"]) if match is not None else Decimal(0)
        if match is None or not price:
            raise ValueError(part)
        found[match["spec"]] = price
    return found


def make_key(spec: str, gpus: int) -> str:
    """Return the key of the offer: ``v-48g``, ``v-48g:2`` for two GPUs."""
    return spec if gpus == 1 else f"{spec}:{gpus}"


def parse_key(key: str) -> tuple[str, int]:
    """Return the specification and the number of GPUs; raises `UsageError`."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise UsageError(_("{key} is no offer of AutoDL").format(key=quote_text(key)))
    return match["spec"], int(match["gpus"] or 1)


def make_offer(key: str, prices: Mapping[str, Decimal], cuda: str = "") -> Offer:
    """Return what is known of a machine. ``cuda``: the least version that its driver has to support."""
    spec, gpus = parse_key(key)
    known, price = SPECS.get(spec, GpuSpec(spec)), prices.get(spec)
    hint = _('the API tells no prices; declare what one GPU costs: prices = "{spec} PRICE" in [autodl]')
    return Offer(
        key=key,
        provider="autodl",
        hardware=Hardware(gpu=known.gpu, gpus=gpus, gpu_memory=known.memory, disk=SYSTEM_DISK),
        tariff=make_tariff(UnitPrice.make_unknown(CNY) if price is None else UnitPrice(price * gpus, CNY)),
        stopped_price=UnitPrice(Decimal(0), CNY),
        cuda=cuda,
        note="" if price is not None else hint.format(spec=spec),
    )


def make_tariff(price: UnitPrice) -> Metered:
    return Metered(price=price, billing_increment=BILLING_INCREMENT)
