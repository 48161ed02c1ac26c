"""What CompShare offers: legal sizes of each zone that are in stock, and what they cost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

from attrs import frozen

from gpurent.api import (
    DiskPrice,
    Hardware,
    Metered,
    Offer,
    Requirements,
    SoldOut,
    Spent,
    UnitPrice,
    UsageError,
)
from gpurent_plugin_compshare import _, wire
from gpurent_plugin_compshare.client import CompShareApi, CompShareReply

FREE_DISK_GB = 100
DISK_PRICE = UnitPrice(Decimal("0.0005"), wire.CNY)  # of each further GB
CHARGE_KINDS = {wire.POSTPAY: "uhost", wire.SPOT: "spot"}
NIGHT, HOLIDAY = 1, 2
PRICE_PARTS = ("Instance", "SystemDisks", "Disks", "CompShareImage")


@frozen
class OfferSearch:
    """``image``: the id of a system image, or a part of the name of one of the service's own."""

    api: CompShareApi
    image: str

    async def find_offers(self, wanted: Requirements) -> list[Offer]:
        """Return the sizes in stock with enough GPUs, the fewest of each model; the price includes the disk."""
        if wanted.bid is not None:
            raise UsageError(_("the spot machines of CompShare have a fixed price, and take no bid"))
        charge = wire.SPOT if wanted.spot else wire.POSTPAY
        named = wanted.machine.split(":")
        found: list[Offer] = []
        if wanted.cpu_only:
            return found
        zones = await self.api.read("DescribeCompShareSupportZone")
        for row in zones.get_rows("ZoneInfo"):
            place = wire.make_place(zones.get_text(row, "Region"), zones.get_text(row, "Zone"), charge)
            if not wanted.machine or named[0] == place[wire.ZONE]:
                found += [offer async for offer in self._find_in_zone(place, wanted)]
        return found

    async def _find_in_zone(self, place: Mapping[str, str], wanted: Requirements) -> AsyncIterator[Offer]:
        where = {"Region": place[wire.REGION], "Zone": place[wire.ZONE]}
        kind = CHARGE_KINDS[place[wire.CHARGE]]
        types = await self.api.read(
            "DescribeAvailableCompShareInstanceTypes", {**where, "InstanceType": kind}
        )
        image = ""
        for row in types.get_rows("AvailableInstanceTypes"):
            gpu = types.get_text(row, "Name")
            # Core compares the names; this only saves questions.
            if row.get("Status") in ("Soldout", "Hidden") or not _find_numbers(wanted.gpu) <= _find_numbers(
                gpu
            ):
                continue
            image = image or await self.find_image(place, wanted.image)
            common = {
                **where,
                "GpuType": gpu,
                "ChargeType": place[wire.CHARGE],
                "CompShareImageId": image,
                "Disks": make_disks(wanted.disk),
            }
            machine = {"MachineType": "G", "MinimalCpuPlatform": "Auto"}
            stock = await self.api.read("CheckCompShareResourceCapacity", {**common, **machine})
            for sizes in _list_sizes(stock, wanted, place, gpu):
                size = {"Gpu": sizes[0], "Cpu": sizes[1], "Memory": sizes[2] * wire.MIB_IN_GIB}
                price = await self.api.read("GetCompShareInstancePrice", {**common, **size})
                graphics = row.get("GraphicsMemory")
                memory = types.get_integer(graphics, "Value") if isinstance(graphics, dict) else 0
                yield _make_offer(price, place, Hardware(gpu=gpu, gpu_memory=memory), sizes, wanted.disk)

    async def find_image(self, place: Mapping[str, str], wanted: str = "") -> str:
        """Return the id of the image; raises `SoldOut` if the service has none of that name."""
        name = wanted or self.image
        if name.startswith("compshareImage-"):
            return name
        where = {"Region": place[wire.REGION], "Zone": place[wire.ZONE], "Name": name}
        reply = await self.api.read("DescribeCompShareImages", where)
        for row in reply.get_rows("ImageSet"):
            # Its container images have the user that the entry declares.
            if row.get("Status") == "Available" and str(row.get("Container")).lower() == "true":
                return reply.get_text(row, "CompShareImageId")
        raise SoldOut(_("CompShare has no container image called {name}").format(name=name), spent=Spent.NO)


def make_disks(size: int) -> list[dict[str, object]]:
    """Return the disks of a machine: one that it starts from, and no other, which would be kept and billed."""
    return [{"IsBoot": True, "Type": "CLOUD_SSD", "Size": max(FREE_DISK_GB, size)}]


def _find_numbers(name: str) -> set[str]:
    return set(re.findall(r"\d+", name))


def _list_sizes(
    stock: CompShareReply, wanted: Requirements, place: Mapping[str, str], gpu: str
) -> list[tuple[int, int, int]]:
    """Return the sizes (GPUs, CPUs, GiB) in stock: the wanted one, or those with the fewest GPUs that are enough."""
    found = [
        (stock.get_integer(row, "Gpu"), stock.get_integer(row, "Cpu"), stock.get_integer(row, "Mem"))
        for row in stock.get_rows("Specs")
        if row.get("ResourceEnough") is True
    ]
    if wanted.machine:
        return [size for size in found if _make_key(place, gpu, size) == wanted.machine]
    fewest = min((size[0] for size in found if size[0] >= wanted.gpus), default=0)
    return [size for size in found if size[0] == fewest]


def _make_key(place: Mapping[str, str], gpu: str, sizes: tuple[int, int, int]) -> str:
    return wire.make_key(place[wire.ZONE], gpu, sizes, place[wire.CHARGE])


def _make_offer(
    reply: CompShareReply, place: Mapping[str, str], card: Hardware, sizes: tuple[int, int, int], disk: int
) -> Offer:
    rows = reply.get_rows("PriceDetails" if "PriceDetails" in reply.body else "PriceDetail")
    row = next((row for row in rows if row.get("ChargeType") == place[wire.CHARGE]), None)
    if row is None:
        raise reply.make_unexpected_response(_("no price for {charge}").format(charge=place[wire.CHARGE]))
    instance = reply.get_number(row, "Instance")
    total = instance + sum(reply.find_number(row, name) or 0 for name in PRICE_PARTS[1:])
    stored = max(FREE_DISK_GB, disk)
    return Offer(
        key=_make_key(place, card.gpu, sizes),
        provider=wire.NAME,
        hardware=Hardware(
            gpu=card.gpu,
            gpu_memory=card.gpu_memory,
            gpus=sizes[0],
            cpus=sizes[1],
            memory=sizes[2],
            disk=stored,
        ),
        tariff=Metered(price=UnitPrice(total, wire.CNY), billing_increment=wire.SECOND),
        disk=DiskPrice(free=stored, price=DISK_PRICE, is_per_gpu=False),
        stopped_price=UnitPrice(reply.find_number(row, "SystemDisks") or Decimal(0), wire.CNY),
        location=place[wire.ZONE],
        spot=place[wire.CHARGE] == wire.SPOT,
        note=_describe_discount(reply.find_number(row, "InstanceDiscountType")),
        provider_data=place,
    )


def _describe_discount(kind: Decimal | None) -> str:
    if kind == NIGHT:
        return _("price of the night; it costs more by day")
    return _("price of a holiday; it will cost more") if kind == HOLIDAY else ""
