"""An instance: its states, what it costs, and how the API shows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from attrs import define, field, frozen

from gpurent.api import SandboxMachine
from gpurent_plugin_vast.simulator.amounts import make_usd_rate
from gpurent_plugin_vast.simulator.market import MarketMachine, describe_hardware, describe_price
from gpurent_plugin_vast.simulator.meters import InstanceDeposit, Meter, Traffic, hourly, storage_hourly

GPU, DISK = "gpu", "disk"
CONTRACT_SPAN = timedelta(days=60)
PRICE_UNCHANGED = Fraction(1)


@frozen
class SshKey:
    """A public key, one line of an authorized_keys file."""

    id: int
    line: str
    created_at: datetime


@frozen(kw_only=True)
class InstanceWish:
    """What a create asks for. ``disk``: GB; ``price``: micro-USD per hour, None for an on-demand instance."""

    image: str
    disk: Fraction
    label: str | None = None
    price: int | None = None
    runtype: str = "ssh"
    env: tuple[tuple[str, str], ...] = ()
    onstart: str | None = None
    is_started: bool = True
    fails_if_unavailable: bool = False

    @property
    def has_direct_port(self) -> bool:
        return "direc" in self.runtype

    @property
    def has_ssh(self) -> bool:
        return "args" not in self.runtype.split()


@define(eq=False, kw_only=True)
class VastInstance:
    """One contract. ``steps``: what becomes of it next, and when.

    ``port`` is the SSH port on the host, known before the machine answers. ``status``: actual_status.
    """

    id: int
    account_id: int
    machine: MarketMachine
    wish: InstanceWish
    gpu_price: int
    created_at: datetime
    label: str | None
    keys: dict[int, SshKey] = field(factory=dict)
    is_leftover: bool = False
    status: str | None = None
    intended: str = "stopped"
    is_queued: bool = False
    message: str = ""
    steps: list[tuple[datetime, str]] = field(factory=list)
    meters: list[Meter] = field(factory=list)
    traffic: list[Traffic] = field(factory=list)
    deposit: InstanceDeposit | None = None
    deposits: list[tuple[datetime, int]] = field(factory=list)
    refund: tuple[datetime, int] | None = None
    history: list[tuple[datetime, str | None, int]] = field(factory=list)
    sandbox_machine: SandboxMachine | None = None
    port: int = 0
    started_at: datetime | None = None
    destroyed_at: datetime | None = None

    @property
    def disk_key(self) -> str:
        """Key of its disk in the sandbox."""
        return f"vast-{self.id}"

    @property
    def is_bid(self) -> bool:
        return self.wish.price is not None

    @property
    def has_gpus(self) -> bool:
        return self.machine.renter == self.id

    @property
    def is_billed(self) -> bool:
        return any(meter.ended_at is None for meter in self.meters)

    # costs

    def start_meter(self, kind: str, at: datetime) -> None:
        if kind == GPU:
            full = hourly(self.gpu_price)
            share = PRICE_UNCHANGED - self.deposit.rate if self.deposit else PRICE_UNCHANGED
        else:
            full = storage_hourly(self.machine.site.storage, self.wish.disk) / 3600
            share = PRICE_UNCHANGED
        self.meters.append(Meter(kind, full * share, full, at))

    def end_meters(self, at: datetime, *kinds: str) -> bool:
        """End the meters of these kinds; return whether one was running."""
        running = [meter for meter in self.meters if meter.kind in kinds and meter.ended_at is None]
        for meter in running:
            meter.ended_at = at
        return bool(running)

    def change_gpu_price(self, price: int, at: datetime) -> None:
        self.gpu_price = price
        self.restart_gpu_meter(at)
        self.history.append((at, self.status, price))

    def restart_gpu_meter(self, at: datetime) -> None:
        """Bill the GPUs at what they cost now, if they are billed."""
        if self.end_meters(at, GPU):
            self.start_meter(GPU, at)

    def compute_gpu_cost(self, at: datetime) -> int:
        return sum(meter.compute_cost(at) for meter in self.meters if meter.kind == GPU)

    def compute_cost(self, at: datetime) -> int:
        """Return all that it cost until ``at``, in micro-USD, paid from a deposit or not."""
        traffic = sum(item.amount for item in self.traffic if item.at <= at)
        return sum(meter.compute_cost(at) for meter in self.meters) + traffic

    def compute_covered(self, at: datetime) -> int:
        """Return how much of its costs deposits have paid."""
        if self.deposit is None:
            return 0
        return self.deposit.covered_before + self.deposit.compute_used(self.compute_gpu_cost(at))

    def compute_discount(self, at: datetime) -> int:
        return sum(meter.compute_discount(at) for meter in self.meters if meter.kind == GPU)

    def iter_movements(self, at: datetime) -> Iterator[tuple[datetime, str, int]]:
        """Yield what its deposit moved: when, the kind, and the signed amount."""
        for when, amount in self.deposits:
            yield when, "prepay", -amount
        if covered := self.compute_covered(at):
            yield at, "prepaid-usage", covered
        if self.refund:
            yield self.refund[0], "refund", self.refund[1]

    def compute_balance_effect(self, at: datetime) -> int:
        """Return by how much it changed its account's credit until ``at``, in micro-USD; below zero if it cost."""
        return sum(amount for _, _, amount in self.iter_movements(at)) - self.compute_cost(at)

    # states

    def set_status(self, status: str | None, at: datetime, message: str = "") -> None:
        self.status, self.message = status, message
        self.history.append((at, status, self.gpu_price))

    def describe(self, now: datetime) -> dict[str, Any]:
        """Return it as the API shows it."""
        prices = describe_price(self.machine, self.gpu_price, self.wish.disk)
        discount = Fraction(self.gpu_price) * self.deposit.rate if self.deposit else Fraction(0)
        prices["search"]["discountTotalHour"] = make_usd_rate(discount)
        current = "running" if self.status in ("created", "loading", "running") else "stopped"
        if self.status is None:
            current = "unloaded"
        up_since = self.started_at if self.status == "running" else None
        end = self.created_at + CONTRACT_SPAN
        return {
            "id": self.id,
            "actual_status": self.status,
            "cur_state": current,
            "next_state": self.intended,
            "intended_status": self.intended,
            "status_msg": self.message or None,
            "label": self.label,
            "image_uuid": self.wish.image,
            "image_runtype": self.wish.runtype,
            "extra_env": [list(pair) for pair in self.wish.env],
            "onstart": self.wish.onstart,
            "gpu_util": None,
            "gpu_temp": None,
            "is_bid": self.is_bid,
            **describe_hardware(self.machine),
            **prices,
            "instance": prices["search"],
            "disk_space": Decimal(self.wish.disk.numerator) / self.wish.disk.denominator,
            "start_date": int(self.created_at.timestamp()),
            "end_date": int(end.timestamp()),
            "duration": max(0, (end - now) // timedelta(seconds=1)),
            "uptime_mins": None if up_since is None else (now - up_since) // timedelta(minutes=1),
            **self._describe_addresses(),
        }

    def _describe_addresses(self) -> dict[str, Any]:
        is_open = bool(self.port) and self.wish.has_ssh
        direct = [{"HostIp": "0.0.0.0", "HostPort": str(self.port)}]  # noqa: S104 as the service writes it
        return {
            "public_ipaddr": "127.0.0.1" if is_open else None,
            "ssh_host": "127.0.0.1" if is_open else None,
            "ssh_port": self.port if is_open else None,
            "ports": {"22/tcp": direct} if is_open and self.wish.has_direct_port else None,
        }
