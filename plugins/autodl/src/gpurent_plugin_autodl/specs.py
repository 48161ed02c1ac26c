"""What can be ordered: AutoDL's GPU specifications, and what the user declares that each costs. Pure.

The API lists neither; the ids are those of its documentation and of clients that were run against it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from gpurent.api import Currency, Hardware, Metered, Offer, UnitPrice, UsageError, quote_text
from gpurent_plugin_autodl import _

# The service bills thousandths of a yuan.
CNY = Currency("CNY", 3)
BILLING_INCREMENT = timedelta(seconds=1)  # assumed
MAX_GPUS = 4
SYSTEM_DISK = 30
"""GB of each machine. A larger one is not offered: what it costs is not known."""


# The GPU, and the GiB of memory of each.
SPECS: Mapping[str, tuple[str, int]] = {
    "v-48g-350w": ("RTX 3090", 48),
    "4090D": ("RTX 4090D", 24),
    "v-32g-p": ("RTX 4080 SUPER", 32),
    "v-48g": ("RTX 4090", 48),
    "5090-p": ("RTX 5090", 32),
    "pro6000-p": ("RTX PRO 6000", 96),
    "h800": ("H800", 80),
}
_KEY = re.compile(rf"(?P<spec>[\w.-]{{1,60}})(?::(?P<gpus>[2-{MAX_GPUS}]))?", re.ASCII)


def parse_key(key: str) -> tuple[str, int]:
    """Return the specification and the number of GPUs of ``v-48g`` or ``v-48g:2``; raises `UsageError`."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise UsageError(_("{key} is no offer of AutoDL").format(key=quote_text(key)))
    return match["spec"], int(match["gpus"] or 1)


def make_offer(spec: str, gpus: int, prices: Mapping[str, Decimal]) -> Offer:
    """Return what is known of a machine; ``prices`` are those that the user declared, of one GPU."""
    gpu, memory = SPECS.get(spec, (spec, 0))
    price = prices.get(spec)
    hint = _('the API tells no prices; declare what one GPU costs: prices = "{spec} PRICE" in [autodl]')
    return Offer(
        key=spec if gpus == 1 else f"{spec}:{gpus}",
        provider="autodl",
        hardware=Hardware(gpu=gpu, gpus=gpus, gpu_memory=memory, disk=SYSTEM_DISK),
        tariff=make_tariff(UnitPrice.make_unknown(CNY) if price is None else UnitPrice(price * gpus, CNY)),
        stopped_price=UnitPrice(Decimal(0), CNY),
        note="" if price is not None else hint.format(spec=spec),
    )


def make_tariff(price: UnitPrice) -> Metered:
    return Metered(price=price, billing_increment=BILLING_INCREMENT)
