"""What can be rented: GPU types, CPU flavors, data centers, and the hosts in them."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from attrs import define, frozen

OTHERS = "others"
"""The name of a tenant that is somebody else."""


@frozen
class GpuType:
    """``memory`` in GB; prices in micro-USD an hour for each GPU."""

    id: str
    name: str
    memory: int
    secure: int
    community: int
    max_count: int
    cuda: tuple[str, ...]


@frozen
class CpuFlavor:
    """``price``: micro-USD an hour for each vCPU."""

    id: str
    name: str
    group: str
    price: int
    memory_per_vcpu: int


@frozen
class DataCenter:
    id: str
    name: str
    region: str
    volume_types: tuple[str, ...] = ("STANDARD",)


GPUS = (
    GpuType("NVIDIA GeForce RTX 4090", "RTX 4090", 24, 690_000, 340_000, 8, ("12.8", "12.4")),
    GpuType("NVIDIA RTX A5000", "RTX A5000", 24, 270_000, 160_000, 4, ("12.8", "12.1")),
    GpuType("NVIDIA A100-SXM4-80GB", "A100 SXM", 80, 1_490_000, 1_390_000, 8, ("12.8", "12.6")),
    GpuType("NVIDIA GeForce RTX 2080 Ti", "RTX 2080 Ti", 11, 183_333, 120_000, 2, ("12.2",)),
)
CPUS = (
    CpuFlavor("cpu5c", "Compute-Optimized", "Gen 5", 35_000, 2),
    CpuFlavor("cpu3g", "General Purpose", "Gen 3", 40_000, 4),
)
CENTERS = (
    DataCenter("US-TX-3", "US Texas 3", "NORTH_AMERICA"),
    DataCenter("EU-RO-1", "EU Romania 1", "EUROPE"),
    DataCenter("CA-MTL-3", "CA Montreal 3", "NORTH_AMERICA"),
    DataCenter("AP-JP-1", "AP Japan 1", "ASIA", ()),
    DataCenter("EUR-IS-2", "EUR Iceland 2", "EUROPE"),
)
GPU_COUNTS = (1, 1, 2, 1)
VCPUS_PER_GPU, MEMORY_PER_GPU = 16, 62


@define
class Host:
    """One machine. ``tenants``: the GPUs that each pod, or `OTHERS`, has of it."""

    id: str
    gpu: GpuType
    center: DataCenter
    gpus: int
    tenants: dict[str, int]

    @property
    def free(self) -> int:
        return self.gpus - sum(self.tenants.values())


@frozen
class Stock:
    """The hosts, and the catalog that is made from them."""

    hosts: tuple[Host, ...]

    @classmethod
    def make(cls, free: int, taken: int) -> Stock:
        """Return ``free`` hosts without a tenant, and ``taken`` ones that somebody else has."""
        hosts = []
        for number in range(free + taken):
            count = GPU_COUNTS[number % len(GPU_COUNTS)]
            tenants = {OTHERS: count} if number >= free else {}
            gpu, center = GPUS[number % len(GPUS)], CENTERS[number % len(CENTERS)]
            hosts.append(Host(f"host{number + 1:06}", gpu, center, count, tenants))
        return cls(tuple(hosts))

    def let_others_rent(self, host: Host) -> None:
        """Let somebody else have the rest of a host."""
        host.tenants[OTHERS] = host.tenants.get(OTHERS, 0) + host.free

    def find_host(
        self, gpu: GpuType, count: int, centers: tuple[str, ...], cuda: tuple[str, ...]
    ) -> Host | None:
        """Return a host for a new pod; ``centers``: any if empty; ``cuda``: the versions that are accepted."""
        for host in self.hosts:
            fits = host.gpu is gpu and host.free >= count and set(cuda) & set(gpu.cuda)
            if fits and (not centers or host.center.id in centers):
                return host
        return None

    def describe_gpu(
        self, gpu: GpuType, count: int, cuda: tuple[str, ...] | None, countries: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return a GPU type with its availability for pods of the secure cloud; ``cuda`` None: without it.

        ``countries``: only that of their data centers, if there are any.
        """
        row: dict[str, Any] = {
            "id": gpu.id,
            "name": gpu.name,
            "pool": None,
            "manufacturer": "NVIDIA",
            "memory": gpu.memory,
            "secure": True,
            "community": True,
            "price": {"secure": make_usd(gpu.secure), "community": make_usd(gpu.community)},
            "maxCount": {"secure": gpu.max_count, "community": gpu.max_count},
        }
        if cuda is None:
            return row
        offered = [host for host in self.hosts if host.gpu is gpu and host.gpus >= count and cuda]
        if countries:
            offered = [host for host in offered if set(host.center.id.split("-")[:2]) & set(countries)]
        free = [host for host in offered if host.free >= count]
        row["availability"] = _grade(len(free))
        centers = {host.center.id: host.center for host in offered}
        if free:
            row["dataCenters"] = [
                {
                    "id": center.id,
                    "name": center.name,
                    "availability": _grade(sum(host.center is center for host in free)),
                }
                for center in centers.values()
            ]
            row["cudaVersions"] = [
                {"version": version, "available": True} for version in gpu.cuda if version in cuda
            ]
        return row


def _grade(count: int) -> str:
    return "NONE" if count == 0 else "LOW" if count == 1 else "MEDIUM" if count < 4 else "HIGH"


def make_usd(micros: int) -> Decimal:
    """Return micro-USD as USD, exactly."""
    return Decimal(micros).scaleb(-6)


def find_gpu(name: object) -> GpuType | None:
    return next((gpu for gpu in GPUS if gpu.id == name), None)


def find_cpu(name: object) -> CpuFlavor | None:
    return next((cpu for cpu in CPUS if cpu.id == name), None)


def find_center(name: object) -> DataCenter | None:
    return next((center for center in CENTERS if center.id == name), None)


def select_cuda(gpu: GpuType, least: str = "", exact: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the versions of a GPU type that a request accepts; versions are compared as numbers."""

    def order(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split("."))

    found = [version for version in gpu.cuda if not least or order(version) >= order(least)]
    return tuple(version for version in found if not exact or version in exact)
