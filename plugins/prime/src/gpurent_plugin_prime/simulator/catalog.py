"""What the clouds behind Prime Intellect have: machines at one price each, some with a disk that costs extra."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

from attrs import define, frozen


@frozen
class Cloud:
    """``disk_price``: USD for a GB and hour of the disk, which is not in the price then.

    ``lists_ssh``: it states the SSH command as a list. ``has_disks``: it rents out disks that outlive machines.
    """

    name: str
    center: str
    country: str
    disk_price: str = ""
    lists_ssh: bool = False
    has_disks: bool = False


@frozen
class GpuModel:
    """``price``: USD per hour and GPU."""

    kind: str
    socket: str
    memory: int
    price: str
    vcpus: int
    ram: int


CLOUDS = (
    Cloud("massedcompute", "us-central-3", "US"),
    Cloud("hyperstack", "CANADA-1", "CA", lists_ssh=True, has_disks=True),
    Cloud("datacrunch", "FIN-01", "FI", disk_price="0.000144", has_disks=True),
    Cloud("lambdalabs", "us-west-1", "US"),
    Cloud("nebius", "eu-north1", "FI", disk_price="0.0001"),
    Cloud("crusoecloud", "us-east1-a", "US", lists_ssh=True),
)
MODELS = (
    GpuModel("A6000_48GB", "PCIe", 48, "0.5", 8, 48),
    GpuModel("RTX4090_24GB", "PCIe", 24, "0.42", 8, 32),
    GpuModel("A100_80GB", "SXM4", 80, "1.29", 16, 120),
    GpuModel("H100_80GB", "SXM5", 80, "2.19", 26, 200),
    GpuModel("L40S_48GB", "PCIe", 48, "0.87", 12, 64),
)
GPU_COUNTS = (1, 2, 4, 8)
DISK, MAX_DISK = 100, 2000


@define(eq=False)
class Listing:
    """One line of the availability; ``left``: how many of it there are."""

    cloud: Cloud
    model: GpuModel
    gpus: int
    left: int = 0

    @property
    def cloud_id(self) -> str:
        return f"{self.gpus}x {self.model.kind} {self.cloud.name}"

    @property
    def price(self) -> Decimal:
        """USD per hour, without a disk that costs extra."""
        return Decimal(self.model.price) * self.gpus

    def price_with(self, disk: int) -> Decimal:
        return self.price + Decimal(self.cloud.disk_price or 0) * disk

    def describe(self) -> dict[str, Any]:
        fixed = {
            "minCount": None,
            "maxCount": None,
            "pricePerUnit": None,
            "step": None,
            "additionalInfo": None,
        }
        return {
            "cloudId": self.cloud_id,
            "gpuType": self.model.kind,
            "socket": self.model.socket,
            "provider": self.cloud.name,
            "region": None,
            "dataCenter": self.cloud.center,
            "country": self.cloud.country,
            "gpuCount": self.gpus,
            "gpuMemory": self.model.memory,
            "disk": {
                "minCount": DISK,
                "defaultCount": DISK,
                "maxCount": MAX_DISK if self.cloud.disk_price else DISK,
                "pricePerUnit": Decimal(self.cloud.disk_price) if self.cloud.disk_price else None,
                "step": 1,
                "defaultIncludedInPrice": not self.cloud.disk_price,
                "additionalInfo": None,
            },
            "sharedDisk": None,
            "vcpu": {
                **fixed,
                "defaultCount": self.model.vcpus * self.gpus,
                "defaultIncludedInPrice": True,
            },
            "memory": {**fixed, "defaultCount": self.model.ram * self.gpus, "defaultIncludedInPrice": True},
            "internetSpeed": None,
            "interconnect": None,
            "interconnectType": None,
            "provisioningTime": None,
            "stockStatus": "Available" if self.left > 1 else "Low" if self.left else "Unavailable",
            "security": "secure_cloud",
            "prices": {
                "onDemand": self.price,
                "communityPrice": None,
                "isVariable": False,
                "currency": "USD",
            },
            "images": ["ubuntu_22_cuda_12", "cuda_12_6_pytorch_2_7"],
            "isSpot": False,
            "prepaidTime": None,
        }


def describe_disk_offers(price: Decimal) -> list[dict[str, Any]]:
    """Return where disks can be rented; ``price``: USD for a GB and hour."""
    return [
        {
            "cloudId": None,
            "provider": cloud.name,
            "dataCenter": cloud.center,
            "country": cloud.country,
            "region": None,
            "spec": {
                "minCount": 0,
                "defaultCount": 0,
                "maxCount": 100_000,
                "pricePerUnit": price,
                "step": 1,
                "defaultIncludedInPrice": False,
                "additionalInfo": None,
            },
            "stockStatus": "Available",
            "security": "secure_cloud",
            "isMultinode": False,
        }
        for cloud in CLOUDS
        if cloud.has_disks
    ]


def find_disk_cloud(name: object, center: object) -> Cloud | None:
    """Return the cloud in which a disk is wanted; without a data center, the only one that the cloud has."""
    found = (cloud for cloud in CLOUDS if cloud.has_disks and name == cloud.name)
    return next((cloud for cloud in found if center in (None, cloud.center)), None)


def make_listings(count: int) -> list[Listing]:
    """Return what is offered, with ``count`` machines that are free; a listing without one is sold out."""
    made = [Listing(cloud, model, gpus) for gpus, model, cloud in product(GPU_COUNTS, MODELS, CLOUDS)]
    for number in range(count):
        made[number % len(made)].left += 1
    return made[: max(count + 1, 6)]


def describe_odd_ones() -> list[dict[str, Any]]:
    """Return what gpurent does not rent: a spot machine, a prepaid one, a machine without GPUs."""
    shown = Listing(CLOUDS[0], MODELS[1], 1, left=5).describe()
    cpu = {**shown, "gpuType": "CPU_NODE", "gpuCount": 1, "gpuMemory": 0, "cloudId": "cpu"}
    return [
        {**shown, "isSpot": True, "cloudId": "spot"},
        {**shown, "prepaidTime": 720, "cloudId": "prepaid"},
        cpu,
    ]
