"""Searching the market of vast.ai."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

from attrs import frozen

from gpurent.api import Offer, Requirements, UnitPrice, UsageError, quote_text
from gpurent_plugin_vast import _, wire

MAX_OFFERS = 200


@frozen
class OfferSearch:
    client: wire.VastApi

    async def find_offers(self, requirements: Requirements) -> list[Offer]:
        """Return the offers that can be rented, with the wanted disk, and at the bid for a spot machine."""
        disk = max(wire.DISK_GB, requirements.disk)
        query: dict[str, object] = {
            "rentable": {"eq": True},
            "rented": {"eq": False},
            "type": "bid" if requirements.spot else "ondemand",
            "allocated_storage": disk,
            "disk_space": {"gte": disk},
            "order": [["dph_total", "asc"]],
            "limit": MAX_OFFERS,
        }
        if requirements.machine:
            query["id"] = {"eq": parse_ask_id(requirements.machine)}
        elif requirements.gpu:
            names = await self._list_gpu_names(requirements.gpu)
            if not names:
                return []
            query["gpu_name"] = {"in": names}
        if requirements.gpus > 1:
            query["num_gpus"] = {"gte": requirements.gpus}
        if requirements.min_reliability is not None:
            # Without an exact limit here, the cheapest of the many machines would all be unreliable ones.
            query["reliability2"] = {"gte": f"{requirements.min_reliability / 100:f}"}
        bid = None if requirements.bid is None else to_usd_per_hour(requirements.bid)
        reply = await self.client.call_checked("POST", "/api/v0/bundles/", json=query)
        return wire.parse_offers(reply, disk, bid, spot=requirements.spot)

    async def _list_gpu_names(self, wanted: str) -> list[str]:
        """Return the service's names of a GPU that may be spelled ``RTX 4090``, ``rtx_4090`` or ``4090``."""
        reply = await self.client.call_checked("GET", "/api/v0/gpu_names/unique/")
        return [name for name in reply.get_texts("gpu_names") if _simplify(wanted) in _simplify(name)]


def to_usd_per_hour(price: UnitPrice) -> Decimal:
    """Return a bid as the service takes it; raises `UsageError` for another currency."""
    if price.currency.code != "USD":
        raise UsageError(_("vast.ai takes bids in USD, not {currency}").format(currency=price.currency.code))
    hours = Fraction(price.per // timedelta(microseconds=1), 3_600_000_000)
    exact = Fraction(price.value) / hours
    return Decimal(floor(exact * 10**6)).scaleb(-6)


def _simplify(name: str) -> str:
    """``NVIDIA GeForce RTX_4090`` and ``rtx 4090`` have the same letters and digits that matter."""
    return re.sub(r"nvidia|geforce|[^a-z0-9]", "", name.lower())


def parse_ask_id(key: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", key, re.ASCII):
        raise UsageError(_("{key} is no offer of vast.ai").format(key=quote_text(key)))
    return int(key)
