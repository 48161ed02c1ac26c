"""Types of machines and regions, and how much capacity each region has; prices as of a list of 2026."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field, frozen


@frozen
class MachineType:
    """``cents``: price per hour."""

    name: str
    gpu_description: str
    cents: int
    vcpus: int
    memory: int
    storage: int
    gpus: int

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": f"{self.gpus}x {self.gpu_description}" if self.gpus else "CPU only",
            "gpu_description": self.gpu_description if self.gpus else "N/A",
            "price_cents_per_hour": self.cents,
            "specs": {
                "vcpus": self.vcpus,
                "memory_gib": self.memory,
                "storage_gib": self.storage,
                "gpus": self.gpus,
            },
        }


TYPES = {
    kind.name: kind
    for kind in (
        MachineType("gpu_1x_a10", "A10 (24 GB PCIe)", 75, 30, 200, 1400, 1),
        MachineType("gpu_1x_gh200", "GH200 (96 GB)", 149, 64, 432, 4096, 1),
        MachineType("gpu_1x_h100_pcie", "H100 (80 GB PCIe)", 249, 26, 200, 1024, 1),
        MachineType("gpu_8x_h100_sxm5", "H100 (80 GB SXM5)", 2392, 208, 1800, 22528, 8),
        MachineType("gpu_1x_rtx6000", "RTX 6000 (24 GB)", 50, 14, 46, 512, 1),
        MachineType("cpu_4x_general", "", 9, 4, 16, 512, 0),
    )
}
REGIONS = {
    "us-west-1": "California, USA",
    "us-east-1": "Virginia, USA",
    "europe-central-1": "Germany",
    "asia-northeast-1": "Osaka, Japan",
    "us-south-1": "Texas, USA",
    "me-west-1": "Israel",
    "asia-south-1": "India",
}
OFFERED = ("gpu_1x_a10", "gpu_1x_gh200", "gpu_1x_h100_pcie", "gpu_8x_h100_sxm5")


def describe_region(name: str) -> dict[str, str]:
    return {"name": name, "description": REGIONS[name]}


@define
class Capacity:
    """How many machines of a type a region still has; ``count`` are spread over both, and RTX 6000 are sold out."""

    count: int
    left: Counter[tuple[str, str]] = field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        regions = list(REGIONS)
        for number in range(self.count):
            self.left[OFFERED[number % len(OFFERED)], regions[number % len(regions)]] += 1
        self.left["cpu_4x_general", regions[0]] += 1

    def list_regions(self, kind: str) -> list[str]:
        return [region for region in REGIONS if self.left[kind, region] > 0]

    def describe(self) -> dict[str, Any]:
        return {
            name: {
                "instance_type": kind.describe(),
                "regions_with_capacity_available": [describe_region(one) for one in self.list_regions(name)],
            }
            for name, kind in TYPES.items()
        }
