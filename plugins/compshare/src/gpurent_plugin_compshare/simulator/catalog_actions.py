"""Zones, sizes, stock, prices, images: what can be rented."""

from __future__ import annotations

from typing import Any

from gpurent.api import Evidence
from gpurent_plugin_compshare import _
from gpurent_plugin_compshare.simulator.amounts import FREE_DISK_GB, disk_rate
from gpurent_plugin_compshare.simulator.calls import INVALID, ApiAction, Call, CompShareRefusal, to_seconds
from gpurent_plugin_compshare.simulator.state import CompShareState
from gpurent_plugin_compshare.simulator.stock import (
    CHARGE_TYPES,
    IMAGES,
    MODELS,
    NO_SPOT,
    ZONES,
    GpuModel,
    Image,
    Zone,
    describe_image,
    describe_type,
)

UNFIT_IMAGE = 226603


def get_zone(call: Call) -> Zone:
    name = call.get_text("Zone")
    found = next((zone for zone in ZONES if zone.name == name), None)
    if found is None or call.get_text("Region") != found.region:
        raise CompShareRefusal(INVALID, "Params [Zone] not available")
    return found


def get_model(call: Call, zone: Zone) -> GpuModel:
    name = call.get_text("GpuType")
    if name not in zone.models:
        raise CompShareRefusal(INVALID, "Params [GpuType] not available")
    return MODELS[name]


def get_image(call: Call, model: GpuModel) -> Image:
    name = call.get_text("CompShareImageId")
    found = next((image for image in IMAGES if image.id == name), None)
    if found is None:
        raise CompShareRefusal(INVALID, "Params [CompShareImageId] not available")
    if model.name in found.unfit:
        raise CompShareRefusal(UNFIT_IMAGE, "The image does not support this GPU")
    return found


def get_charge_type(call: Call, default: str = "Month") -> str:
    found = call.fields.get("ChargeType") or default
    if found not in CHARGE_TYPES:
        raise CompShareRefusal(INVALID, "Params [ChargeType] not available")
    return found


def get_disks(call: Call) -> tuple[int, int]:
    """Return the sizes of the system disk and of all data disks, in GB."""
    disks = call.list_items("Disks")
    sizes = [(disk.get("IsBoot", "").lower() == "true", disk.get("Size", "")) for disk in disks]
    if not all(size.isascii() and size.isdecimal() and 0 < int(size) <= 8000 for _boot, size in sizes):
        raise CompShareRefusal(INVALID, "Params [Disks.N.Size] not available")
    if len([boot for boot, _size in sizes if boot]) != 1:
        raise CompShareRefusal(INVALID, "Params [Disks] need exactly one boot disk")
    return sum(int(size) for boot, size in sizes if boot), sum(int(size) for boot, size in sizes if not boot)


class CatalogActions:
    """The actions that only tell what there is."""

    def __init__(self, state: CompShareState, price_field: str) -> None:
        self._state, self._price_field = state, price_field

    def list_actions(self) -> list[ApiAction]:
        price_note = _("one row for each kind of billing; what a day and a month cost is assumed")
        return [
            ApiAction(name="DescribeCompShareSupportZone", handle=self._list_zones),
            ApiAction(name="DescribeAvailableCompShareInstanceTypes", handle=self._list_types),
            ApiAction(name="CheckCompShareResourceCapacity", handle=self._check_capacity),
            ApiAction(
                name="DescribeCompShareGpuInventory",
                handle=self._show_inventory,
                evidence=Evidence.SOURCE,
                note=_("its keys are assumed"),
            ),
            ApiAction(name="GetCompShareInstancePrice", handle=self._show_price, note=price_note),
            ApiAction(name="GetCompShareInstanceUserPrice", handle=self._show_price, note=price_note),
            ApiAction(name="DescribeCompShareImages", handle=self._list_images),
        ]

    async def _list_zones(self, call: Call) -> dict[str, Any]:
        region = call.fields.get("Region")
        return {
            "ZoneInfo": [
                {"Region": zone.region, "Zone": zone.name, "Describe": zone.title}
                for zone in ZONES
                if region in (None, zone.region)
            ]
        }

    async def _list_types(self, call: Call) -> dict[str, Any]:
        zone, kind = get_zone(call), call.fields.get("InstanceType", "uhost")
        if kind not in ("uhost", "spot"):
            raise CompShareRefusal(INVALID, "Params [InstanceType] not available")
        wanted = call.list_texts("MachineTypes")
        names = [name for name in zone.models if not wanted or name in wanted]
        found = [MODELS[name] for name in names if kind == "uhost" or name not in NO_SPOT]
        return {"AvailableInstanceTypes": [describe_type(zone, model, kind) for model in found] or None}

    async def _check_capacity(self, call: Call) -> dict[str, Any]:
        zone = get_zone(call)
        model = get_model(call, zone)
        get_image(call, model)
        charge = get_charge_type(call)
        if call.get_text("MachineType") != "G" or (charge == "Spot" and model.name in NO_SPOT):
            raise CompShareRefusal(INVALID, "Params [MachineType] not available")
        free = self._state.stock.free[zone.name, model.name]
        return {
            "Specs": [
                {"Gpu": gpus, "Cpu": cpus, "Mem": ram, "ResourceEnough": free >= gpus}
                for gpus, cpus, ram in model.list_sizes()
            ]
        }

    async def _show_inventory(self, call: Call) -> dict[str, Any]:
        region = call.get_text("Region")
        zones = [zone for zone in ZONES if zone.region == region]
        free = self._state.stock.free
        pool = {zone.name: {name: free[zone.name, name] for name in zone.models} for zone in zones}
        now = self._state.at.replace(minute=self._state.at.minute // 5 * 5, second=0)
        return {
            "GpuInventoryByZone": {"Exclusive": pool, "Spot": pool},
            "SpotUnsupportedGpuTypes": sorted(NO_SPOT),
            "UpdateTime": to_seconds(now),
        }

    async def _show_price(self, call: Call) -> dict[str, Any]:
        zone = get_zone(call)
        model = get_model(call, zone)
        gpus, cpus = call.get_number("GPU", "Gpu"), call.get_number("CPU", "Cpu")
        if (gpus, cpus, call.get_number("Memory") // 1024) not in model.list_sizes():
            raise CompShareRefusal(INVALID, "Params [CPU] not available")
        disk = get_disks(call)[0] if call.list_items("Disks") else FREE_DISK_GB
        given = call.fields.get("ChargeType")
        kinds = [get_charge_type(call)] if given else CHARGE_TYPES
        rows = [
            self._state.stock.describe_price(model, gpus, kind, disk_rate(disk))
            for kind in kinds
            if kind != "Spot" or model.name not in NO_SPOT
        ]
        return {self._price_field: rows}

    async def _list_images(self, call: Call) -> dict[str, Any]:
        get_zone(call)
        name, wanted = call.fields.get("Name", ""), call.fields.get("CompShareImageId")
        found = [
            image for image in IMAGES if name.lower() in image.name.lower() and wanted in (None, image.id)
        ]
        start, limit = call.get_number("Offset", default=0), min(100, call.get_number("Limit", default=20))
        page = [describe_image(image) for image in found[start : start + limit]]
        return {"ImageSet": page or None, "TotalCount": len(found)}
