"""The machines on the market, and how the API shows them as offers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from attrs import define, frozen

from gpurent_plugin_vast.simulator.amounts import MICROS, make_usd, make_usd_rate, round_fraction
from gpurent_plugin_vast.simulator.meters import storage_hourly

OTHERS = -1
"""Renter of a machine that somebody else has."""
DEFAULT_STORAGE = Fraction(8)
BID_SHARE = Fraction(55, 100)
FIRST_OFFER, FIRST_MACHINE = 7_100_001, 30_001


@frozen
class HardwareModel:
    """What one kind of machine has. ``gpu_ram`` in MB for each GPU; ``price`` in micro-USD per hour for each GPU."""

    gpu_name: str
    gpu_ram: int
    price: int
    cuda: str
    compute_cap: int
    flops: str


@frozen
class HostSite:
    """Where a host is, and what it charges: storage per GB and month, traffic per GB, in micro-USD."""

    host_id: int
    geolocation: str
    reliability: str
    storage: int
    inet_up: int
    inet_down: int
    verified: bool = True


MODELS = (
    HardwareModel("RTX 4090", 24564, 412_500, "12.8", 890, "82.6"),
    HardwareModel("RTX 3090", 24576, 187_333, "12.4", 860, "35.3"),
    HardwareModel("A100 SXM4", 81920, 1_083_750, "12.6", 800, "19.5"),
    HardwareModel("RTX 2080 Ti", 11264, 97_000, "12.2", 750, "13.4"),
)
SITES = (
    HostSite(2001, "Sweden, SE", "0.9982", 150_000, 3_000, 2_500),
    HostSite(2002, "Germany, DE", "0.9914", 144_000, 10_000, 5_000),
    HostSite(2003, "California, US", "0.9750", 200_000, 20_000, 20_000),
    HostSite(2004, "Japan, JP", "0.9341", 100_000, 0, 0, verified=False),
    HostSite(2001, "Sweden, SE", "0.9987", 150_000, 3_000, 2_500),
)
GPU_COUNTS = (1, 1, 1, 2, 4, 1)


@define
class MarketMachine:
    """One machine of a host, offered as a whole. ``price``: micro-USD per hour for all GPUs.

    ``renter``: the instance that uses the GPUs, `OTHERS`, or None.
    """

    offer_id: int
    machine_id: int
    model: HardwareModel
    site: HostSite
    num_gpus: int
    price: int
    disk_space: int
    verified: bool
    renter: int | None = None
    is_offline: bool = False

    @property
    def min_bid(self) -> int:
        return int(self.price * BID_SHARE)

    @property
    def is_rentable(self) -> bool:
        return self.renter is None and not self.is_offline


def make_machines(free: int, taken: int) -> list[MarketMachine]:
    """Return ``free`` machines that can be rented, and ``taken`` ones that somebody else has."""
    made = []
    for number in range(free + taken):
        model, site = MODELS[number % len(MODELS)], SITES[number % len(SITES)]
        num_gpus = GPU_COUNTS[number % len(GPU_COUNTS)]
        made.append(
            MarketMachine(
                offer_id=FIRST_OFFER + number,
                machine_id=FIRST_MACHINE + number,
                model=model,
                site=site,
                num_gpus=num_gpus,
                price=model.price * num_gpus,
                disk_space=200 * num_gpus,
                verified=site.verified,
                renter=OTHERS if number >= free else None,
            )
        )
    return made


def describe_hardware(machine: MarketMachine) -> dict[str, Any]:
    """Return the fields that offers and instances share."""
    model, site, count = machine.model, machine.site, machine.num_gpus
    number = machine.machine_id - FIRST_MACHINE
    return {
        "machine_id": machine.machine_id,
        "host_id": site.host_id,
        "hosting_type": 0,
        "gpu_name": model.gpu_name,
        "num_gpus": count,
        "gpu_frac": 1,
        "gpu_ram": model.gpu_ram,
        "gpu_totalram": model.gpu_ram * count,
        "gpu_arch": "nvidia",
        "compute_cap": model.compute_cap,
        "cuda_max_good": Decimal(model.cuda),
        "driver_version": "570.86.15",
        "total_flops": Decimal(model.flops) * count,
        "dlperf": Decimal(model.flops) * count,
        "cpu_name": "AMD EPYC 7543 32-Core Processor",
        "cpu_arch": "amd64",
        "cpu_ghz": Decimal("3.7"),
        "pcie_bw": Decimal("24.1"),
        "bw_nvlink": 0,
        "cpu_cores": 64,
        "cpu_cores_effective": Decimal(16 * count),
        "cpu_ram": 65536 * count,
        "disk_name": "nvme",
        "disk_bw": Decimal("3120.5"),
        "inet_up": Decimal("812.4"),
        "inet_down": Decimal("934.1"),
        "inet_up_cost": make_usd(site.inet_up),
        "inet_down_cost": make_usd(site.inet_down),
        "storage_cost": make_usd(site.storage),
        "reliability2": Decimal(site.reliability),
        "reliability": Decimal(site.reliability),
        "geolocation": site.geolocation,
        "verification": "verified" if machine.verified else "unverified",
        "static_ip": True,
        "direct_port_count": 100,
        "public_ipaddr": f"198.51.100.{number % 250 + 1}",
        "min_bid": make_usd(machine.min_bid),
    }


def describe_price(machine: MarketMachine, gpu_micros: int, gigabytes: Fraction) -> dict[str, Any]:
    """Return the price fields. ``gpu_micros``: per hour."""
    disk = storage_hourly(machine.site.storage, gigabytes)
    flops = Fraction(machine.model.flops) * machine.num_gpus
    total = make_usd_rate(gpu_micros + disk)
    return {
        "dph_base": make_usd(gpu_micros),
        "dph_total": total,
        "storage_total_cost": make_usd_rate(disk),
        "dlperf_per_dphtotal": round_fraction(flops * MICROS / (gpu_micros + disk), 6),
        "search": {
            "gpuCostPerHour": make_usd(gpu_micros),
            "diskHour": make_usd_rate(disk),
            "totalHour": total,
            "discountTotalHour": 0,
            "discountedTotalPerHour": total,
        },
    }


def describe_offer(
    machine: MarketMachine, *, is_bid: bool, gigabytes: Fraction, now: datetime
) -> dict[str, Any]:
    """Return an offer. ``gigabytes``: the storage that ``dph_total`` includes."""
    gpu_micros = machine.min_bid if is_bid else machine.price
    duration = 60 * 24 * 3600
    return {
        "id": machine.offer_id,
        "ask_contract_id": machine.offer_id,
        "bundle_id": machine.offer_id,
        "is_bid": is_bid,
        **describe_hardware(machine),
        **describe_price(machine, gpu_micros, gigabytes),
        "score": round_fraction(Fraction(machine.site.reliability) * 1000, 3),
        "disk_space": machine.disk_space,
        "duration": duration,
        "start_date": int(now.timestamp()),
        "end_date": int(now.timestamp()) + duration,
        "rentable": machine.is_rentable,
        "rented": machine.renter is not None,
        "verified": machine.verified,
        "external": False,
        "datacenter": False,
        "hostname": None,
        "logo": "/static/logos/vastai_small2.png",
    }
