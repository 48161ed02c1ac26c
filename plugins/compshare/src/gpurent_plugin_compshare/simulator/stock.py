"""Zones, GPU models, legal sizes, prices, images, and how many GPUs are free."""

from __future__ import annotations

from typing import Any

from attrs import define, frozen

from gpurent_plugin_compshare.simulator.amounts import make_yuan

SPOT_SHARE = 70, 100
DAY_HOURS, MONTH_HOURS = 20, 480
"""Assumed: a day costs 20 hours, a month 480."""
PREPAID = {"Day": DAY_HOURS, "Month": MONTH_HOURS}
CHARGE_TYPES = ("Month", "Day", "Dynamic", "Postpay", "Spot")
NO_SPOT = frozenset({"4090_48G", "A800", "H20", "P40", "2080"})


@frozen
class GpuModel:
    """``price``: units per hour and GPU with its CPUs and memory; ``cpus`` and ``memory`` (GiB) of each GPU."""

    name: str
    memory: int
    price: int
    counts: tuple[int, ...]
    cpus: int
    ram: int

    def list_sizes(self) -> list[tuple[int, int, int]]:
        """Return the legal sizes: GPUs, CPUs, GiB."""
        return [(number, number * self.cpus, number * self.ram) for number in self.counts]


@frozen
class Zone:
    """A zone, and its models."""

    region: str
    name: str
    title: str
    models: tuple[str, ...]


@frozen
class Image:
    """``unfit``: models that it does not run on; ``user``: who logs in."""

    id: str
    name: str
    is_container: bool
    unfit: frozenset[str] = frozenset()

    @property
    def user(self) -> str:
        return "root" if self.is_container else "ubuntu"


MODELS = {
    model.name: model
    for model in (
        GpuModel("4090", 24, 16_600, (1, 2, 4, 8), 16, 64),
        GpuModel("3090", 24, 11_900, (1, 2), 12, 32),
        GpuModel("5090", 32, 31_600, (1, 2, 4, 8), 16, 92),
        GpuModel("A800", 80, 62_300, (1, 2, 4, 8), 16, 120),
    )
}
ZONES = (
    Zone("cn-wlcb", "cn-wlcb-01", "华北二A", ("4090", "3090")),
    Zone("cn-sh2", "cn-sh2-02", "上海二B", ("5090",)),
)
IMAGES = (
    Image("compshareImage-ubuntu2204", "Ubuntu 22.04", False),
    Image("compshareImage-pytorch26", "PyTorch 2.6 CUDA 12.6", True),
    Image("compshareImage-pytorch113", "PyTorch 1.13 CUDA 11.7", True, frozenset({"5090"})),
)


@define
class Stock:
    """The free GPUs of each model in each zone; ``discount``: 1 for the night, 2 for a holiday."""

    free: dict[tuple[str, str], int]
    discount: int = 0

    @classmethod
    def make(cls, count: int) -> Stock:
        """Return a stock with ``count`` free GPUs, spread over all models."""
        places = [(zone.name, model) for zone in ZONES for model in zone.models]
        each, more = divmod(count, len(places))
        return cls({place: each + int(number < more) for number, place in enumerate(places)})

    def compute_price(self, model: GpuModel, gpus: int, charge_type: str) -> int:
        """Return units per hour, or per day or month for what is prepaid."""
        hourly = model.price * gpus
        if charge_type == "Spot":
            return hourly * SPOT_SHARE[0] // SPOT_SHARE[1]
        return hourly * PREPAID.get(charge_type, 1)

    def describe_price(self, model: GpuModel, gpus: int, charge_type: str, disk: int) -> dict[str, Any]:
        """Return one of the price details; ``disk``: units per hour."""
        price = self.compute_price(model, gpus, charge_type)
        return {
            "ChargeType": charge_type,
            "Instance": make_yuan(price),
            "SystemDisks": make_yuan(disk * PREPAID.get(charge_type, 1)),
            "Disks": 0,
            "CompShareImage": 0,
            "InstanceDiscountType": self.discount,
        }


def describe_type(zone: Zone, model: GpuModel, kind: str) -> dict[str, Any]:
    """Return one of the available instance types."""
    return {
        "Name": model.name,
        "Zone": zone.name,
        "Status": "Normal",
        "InstanceType": kind,
        "MachineClass": "GPU",
        "GraphicsMemory": {"Value": model.memory, "Rate": 1},
        "MachineSizes": [
            {"Gpu": gpus, "Collection": [{"Cpu": cpus, "Memory": [ram], "MinimalCpuPlatform": ["Auto"]}]}
            for gpus, cpus, ram in model.list_sizes()
        ],
        "Disks": [{"Name": "cloudDisk", "BootDisk": [{"Name": "CLOUD_SSD", "MaximalSize": 500}]}],
    }


def describe_image(image: Image) -> dict[str, Any]:
    return {
        "CompShareImageId": image.id,
        "Name": image.name,
        "ImageType": "System",
        "ImageOwnerAlias": "Official",
        "Status": "Available",
        "Container": str(image.is_container),
        "Price": 0,
        "Size": 20_480,
    }
