"""What CompShare offers: legal sizes of each zone that are in stock, and what they cost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

from attrs import evolve, frozen

from gpurent.api import DiskPrice, Hardware, Offer, Requirements, UnitPrice, UsageError, quote_reason
from gpurent_plugin_compshare import _, wire
from gpurent_plugin_compshare.client import CompShareApi, CompShareReply

FREE_DISK_GB = 100
DISK_PRICE = UnitPrice(Decimal("0.0005"), wire.CNY)  # of each further GB
KINDS = {wire.POSTPAY: "uhost", wire.SPOT: "spot"}
UNFIT_IMAGE = "226603"
NIGHT, HOLIDAY = 1, 2


@frozen
class OfferSearch:
    """``image``: the id of a system image, or a part of the name of one of the service's own.

    A ``place`` is the provider_data of an offer: the fields Region, Zone and ChargeType of requests.
    """

    api: CompShareApi
    image: str

    async def find_offers(self, wanted: Requirements) -> list[Offer]:
        """Return the sizes in stock with enough GPUs, the fewest of each model; the price includes the disk."""
        if wanted.bid is not None:
            raise UsageError(_("the spot machines of CompShare have a fixed price, and take no bid"))
        found: list[Offer] = []
        if wanted.cpu_only:
            return found
        zones = await self.api.call_checked("GET", "DescribeCompShareSupportZone")
        for row in zones.get_rows("ZoneInfo"):
            place = {name: zones.get_text(row, name) for name in ("Region", "Zone")}
            if wanted.machine.partition(":")[0] in ("", place["Zone"]):
                place["ChargeType"] = wire.SPOT if wanted.spot else wire.POSTPAY
                found += [offer async for offer in self._find_in_zone(place, wanted)]
        return found

    async def _find_in_zone(self, place: Mapping[str, str], wanted: Requirements) -> AsyncIterator[Offer]:
        kind = {**place, "InstanceType": KINDS[place["ChargeType"]]}
        types = await self.api.call_checked("GET", "DescribeAvailableCompShareInstanceTypes", params=kind)
        common = {**place, "MachineType": "G", "MinimalCpuPlatform": "Auto", **make_disk(wanted.disk)}
        image = ""
        for row in types.get_rows("AvailableInstanceTypes"):
            gpu, graphics = types.get_text(row, "Name"), row.get("GraphicsMemory")
            if row.get("Status") in ("Soldout", "Hidden") or not _may_be_meant(wanted.gpu, gpu):
                continue
            image = image or await self.find_image(place, wanted.image)
            if not image:
                return
            asked = {**common, "GpuType": gpu, "CompShareImageId": image}
            stock = await self.api.call("GET", "CheckCompShareResourceCapacity", params=asked)
            if stock.error == UNFIT_IMAGE:
                continue
            if stock.error:
                raise stock.make_unexpected_response(quote_reason(stock.message))
            memory = types.get_integer(graphics, "Value") if isinstance(graphics, dict) else 0
            for card in _list_sizes(stock, wanted, Hardware(gpu=gpu, gpu_memory=memory)):
                if wanted.machine in ("", wire.make_key(place, card)):
                    size = {"Gpu": card.gpus, "Cpu": card.cpus, "Memory": card.memory * wire.MIB_IN_GIB}
                    form = {**asked, **{name: str(number) for name, number in size.items()}}
                    price = await self.api.call_checked("GET", "GetCompShareInstancePrice", params=form)
                    yield _make_offer(price, place, card, max(FREE_DISK_GB, wanted.disk))

    async def find_image(self, place: Mapping[str, str], wanted: str = "") -> str:
        """Return the id of the image; empty if the service has none of that name in this zone."""
        name = wanted or self.image
        if name.startswith("compshareImage-"):
            return name
        form = {**place, "Name": name}
        reply = await self.api.call_checked("GET", "DescribeCompShareImages", params=form)
        for row in reply.get_rows("ImageSet"):
            # The user of a container image is the one that the entry declares.
            if row.get("Status") == "Available" and str(row.get("Container")).lower() == "true":
                return reply.get_text(row, "CompShareImageId")
        return ""


def make_disk(size: int) -> dict[str, str]:
    """Return the fields of a machine's only disk: another one would be kept and billed."""
    fields = {"IsBoot": "true", "Type": "CLOUD_SSD", "Size": str(max(FREE_DISK_GB, size))}
    return {f"Disks.0.{name}": value for name, value in fields.items()}


def _may_be_meant(wanted: str, gpu: str) -> bool:
    """Core compares the names; this only saves questions."""
    return set(re.findall(r"\d+", wanted)) <= set(re.findall(r"\d+", gpu))


def _list_sizes(stock: CompShareReply, wanted: Requirements, card: Hardware) -> list[Hardware]:
    """Return the sizes in stock: those with the fewest GPUs that are enough, or all if one is named."""
    rows = [row for row in stock.get_rows("Specs") if row.get("ResourceEnough") is True]
    counts = [stock.get_integer(row, "Gpu") for row in rows]
    fewest = min((count for count in counts if count >= wanted.gpus), default=0)
    return [
        evolve(card, gpus=count, cpus=stock.get_integer(row, "Cpu"), memory=stock.get_integer(row, "Mem"))
        for count, row in zip(counts, rows, strict=True)
        if count == fewest or wanted.machine
    ]


def _make_offer(reply: CompShareReply, place: Mapping[str, str], card: Hardware, disk: int) -> Offer:
    rows = reply.get_rows("PriceDetails" if "PriceDetails" in reply.body else "PriceDetail")
    row = next((row for row in rows if row.get("ChargeType") == place["ChargeType"]), None)
    if row is None:
        raise reply.make_unexpected_response(_("no price for {charge}").format(charge=place["ChargeType"]))
    stored = reply.find_number(row, "SystemDisks") or Decimal(0)
    more = sum(reply.find_number(row, name) or Decimal(0) for name in ("Disks", "CompShareImage"))
    discount = reply.find_number(row, "InstanceDiscountType")
    cheap = {
        NIGHT: _("price of the night; it costs more by day"),
        HOLIDAY: _("price of a holiday; it will cost more"),
    }
    return wire.make_offer(
        place,
        evolve(card, disk=disk),
        reply.get_number(row, "Instance") + stored + more,
        stored,
        disk=DiskPrice(free=disk, price=DISK_PRICE, is_per_gpu=False),
        note=cheap.get(int(discount or 0), ""),
    )
