"""What CompShare offers: legal sizes of each zone that are in stock, and what they cost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

from attrs import evolve, frozen

from gpurent.api import DiskPrice, Hardware, Metered, Offer, Requirements, UnitPrice, UsageError
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
        zones = await self.api.read("DescribeCompShareSupportZone")
        for row in zones.get_rows("ZoneInfo"):
            place = {name: zones.get_text(row, name) for name in ("Region", "Zone")}
            if wanted.machine.partition(":")[0] in ("", place["Zone"]):
                place["ChargeType"] = wire.SPOT if wanted.spot else wire.POSTPAY
                found += [offer async for offer in self._find_in_zone(place, wanted)]
        return found

    async def _find_in_zone(self, place: Mapping[str, str], wanted: Requirements) -> AsyncIterator[Offer]:
        kind = {"InstanceType": KINDS[place["ChargeType"]]}
        types = await self.api.read("DescribeAvailableCompShareInstanceTypes", {**place, **kind})
        common = {**place, "MachineType": "G", "MinimalCpuPlatform": "Auto", "Disks": make_disks(wanted.disk)}
        image = ""
        for row in types.get_rows("AvailableInstanceTypes"):
            gpu, graphics = types.get_text(row, "Name"), row.get("GraphicsMemory")
            if row.get("Status") in ("Soldout", "Hidden") or not _may_be_meant(wanted.gpu, gpu):
                continue
            image = image or await self.find_image(place, wanted.image)
            if not image:
                return
            asked = {**common, "GpuType": gpu, "CompShareImageId": image}
            stock = await self.api.call("CheckCompShareResourceCapacity", asked)
            if stock.error == UNFIT_IMAGE:
                continue
            memory = types.get_integer(graphics, "Value") if isinstance(graphics, dict) else 0
            for card in _list_sizes(stock.require_success(), wanted, Hardware(gpu=gpu, gpu_memory=memory)):
                if wanted.machine in ("", wire.make_key(place, card)):
                    size = {"Gpu": card.gpus, "Cpu": card.cpus, "Memory": card.memory * wire.MIB_IN_GIB}
                    price = await self.api.read("GetCompShareInstancePrice", {**asked, **size})
                    yield _make_offer(price, place, card, max(FREE_DISK_GB, wanted.disk))

    async def find_image(self, place: Mapping[str, str], wanted: str = "") -> str:
        """Return the id of the image; empty if the service has none of that name in this zone."""
        name = wanted or self.image
        if name.startswith("compshareImage-"):
            return name
        reply = await self.api.read("DescribeCompShareImages", {**place, "Name": name})
        for row in reply.get_rows("ImageSet"):
            # The user of a container image is the one that the entry declares.
            if row.get("Status") == "Available" and str(row.get("Container")).lower() == "true":
                return reply.get_text(row, "CompShareImageId")
        return ""


def make_disks(size: int) -> list[dict[str, object]]:
    """Return the disks of a machine: one that it starts from, and no other, which would be kept and billed."""
    return [{"IsBoot": True, "Type": "CLOUD_SSD", "Size": max(FREE_DISK_GB, size)}]


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
    price = UnitPrice(reply.get_number(row, "Instance") + stored + more, wire.CNY)
    discount = reply.find_number(row, "InstanceDiscountType")
    cheap = {
        NIGHT: _("price of the night; it costs more by day"),
        HOLIDAY: _("price of a holiday; it will cost more"),
    }
    return Offer(
        key=wire.make_key(place, card),
        provider=wire.NAME,
        hardware=evolve(card, disk=disk),
        tariff=Metered(price=price, billing_increment=wire.SECOND),
        disk=DiskPrice(free=disk, price=DISK_PRICE, is_per_gpu=False),
        stopped_price=UnitPrice(stored, wire.CNY),
        location=place["Zone"],
        spot=place["ChargeType"] == wire.SPOT,
        note=cheap.get(int(discount or 0), ""),
        provider_data=place,
    )
