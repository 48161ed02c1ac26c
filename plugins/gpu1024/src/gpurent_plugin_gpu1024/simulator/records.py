"""The simulator's records: machines, orders, renewals, wallets, with exact arithmetic. No HTTP, no clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from attrs import define, field

from gpurent.api import SandboxMachine

UNIT = 10**8
KIB_IN_GIB = 1024 * 1024
# KiB that come with each GPU.
GIVEN_DISK = 30 * KIB_IN_GIB
MINUTE = timedelta(minutes=1)
# USD per GiB and hour, from the public client.
DISK_PRICE = Decimal("0.000033333334")
MODELS = (("2080Ti", "0.215", 11), ("1080Ti", "0.15", 11), ("P102-100", "0.08", 10), ("T4", "0.18", 15))


@define
class GpuHost:
    """A host with its GPUs; ``taken`` GPUs are rented by others. ``container_disk`` is what a container can have."""

    id: str
    model: str
    price: Decimal
    ram: int
    gpus: int = 1
    taken: int = 0
    container_disk: int = 400 * KIB_IN_GIB


@define
class ContainerOrder:
    """One order; amounts in 10^-8 DBC.

    ``payment_mark`` is the small amount by which its payment is recognized, ``payment_marks_total`` the sum of those
    paid so far, renewals included. An order that takes a container over (``switched_from``) inherits ``task_id``;
    ``starts_stopped``: the container was stopped. ``is_trial``: its mark is the fee, which is never refunded.
    ``owed``: amount and memo of a refund that was not sent yet. ``balance_checked_at``: when the wallet was last seen
    to hold enough for the files to be kept. ``used_disk``: the KiB that its files take.
    """

    id: str
    wallet: str
    machine: GpuHost
    kind: str
    mode: str
    payment_mark: int
    price: Decimal
    switched_from: str = ""
    starts_stopped: bool = False
    is_trial: bool = False
    terms: list[tuple[int, int]] = field(factory=list)
    gpus: int = 0
    disk: int = 0
    memory: int = 0
    payment_marks_total: int = 0
    address: str = ""
    created_at: datetime | None = None
    container_requested_at: datetime | None = None
    container_at: datetime | None = None
    rented_at: datetime | None = None
    switched_at: datetime | None = None
    stopped_at: datetime | None = None
    task_id: str = ""
    container: SandboxMachine | None = None
    password: str = ""
    cancelled: bool = False
    pay_error: bool = False
    owed: tuple[int, str] = (0, "")
    returned: bool = False
    over: bool = False
    ended_well: bool = False
    kept_until: datetime | None = None
    balance_checked_at: datetime | None = None
    used_disk: int = 0
    mail_codes: dict[str, str] = field(factory=dict)

    @property
    def order(self) -> ContainerOrder:
        """The order itself, so that an order and an `OrderRenewal` can be used alike."""
        return self

    @property
    def created(self) -> bool:
        return self.created_at is not None

    @property
    def rented(self) -> bool:
        return self.rented_at is not None

    @property
    def holds_gpu(self) -> bool:
        return self.created and self.gpus > 0 and not self.cancelled and not self.over

    @property
    def expires_at(self) -> datetime | None:
        return self.rented_at + self.minutes * MINUTE if self.rented_at else None

    @property
    def minutes(self) -> int:
        return sum(minutes for minutes, _units in self.terms)

    @property
    def total(self) -> int:
        return sum(units for _minutes, units in self.terms)

    @property
    def amount_due(self) -> int:
        return self.total + self.payment_mark

    def count_begun_minutes(self, at: datetime) -> int:
        """Return the minutes started until ``at``, at most those that were rented."""
        if self.rented_at is None:
            return 0
        return max(0, min(-(-(at - self.rented_at) // MINUTE), self.minutes))

    def compute_cost(self, at: datetime) -> int:
        """Return what the started minutes cost, each at the price of its term; a deposit costs nothing."""
        if self.mode == "deposit":
            return 0
        if self.is_trial:
            return self.payment_marks_total
        left, cost = self.count_begun_minutes(at), 0
        for minutes, units in self.terms:
            cost += -(-units * min(left, minutes) // minutes)
            left -= min(left, minutes)
        return cost


@define
class OrderRenewal:
    id: str
    order: ContainerOrder
    payment_mark: int
    price: Decimal
    minutes: int = 0
    total: int = 0
    created_at: datetime | None = None
    done: bool = False
    cancelled: bool = False
    pay_error: bool = False
    returned: bool = False
    mail_codes: dict[str, str] = field(factory=dict)

    @property
    def rented(self) -> bool:
        return self.done

    @property
    def amount_due(self) -> int:
        return self.total + self.payment_mark


def compute_rent(machine: GpuHost, gpus: int, minutes: int, rate: Decimal, disk: int = 0) -> int:
    """Return the price of the time, with ``disk`` KiB of extra disk, in 10^-8 DBC; rounded up once."""
    usd = Fraction(machine.price) * gpus + Fraction(DISK_PRICE) * disk / KIB_IN_GIB
    return ceil(usd * minutes / 60 / Fraction(rate) * UNIT)


def compute_deposit(disk: int, memory: int) -> int:
    """Return the deposit for a CPU container, in proportion to its size (assumed).

    For 30 GiB of disk and 5 GiB of memory it is 60000 DBC.
    """
    return (disk * 1_000 // KIB_IN_GIB + memory * 6_000 // KIB_IN_GIB) * UNIT


def to_json_number(units: int) -> float:
    """Return the amount as in JSON; it has few enough digits to be exact."""
    return float(Decimal(units) / UNIT)


def machine_json(machine: GpuHost, free: int) -> dict[str, Any]:
    used = machine.gpus - free
    return {
        "machine_id": machine.id,
        "country": "China",
        "gpu_type": machine.model,
        "gpu_count": machine.gpus,
        "gpu_be_used": used,
        "gpu_price_dollar": float(machine.price),
        "gpu_ram_size": machine.ram * KIB_IN_GIB,
        "cuda_version": "10.1",
        "cpu_type": "Xeon",
        "cpu_numbers": 8,
        "ram_size": 32 * KIB_IN_GIB,
        "disk_space": 400 * KIB_IN_GIB,
        "disk_type": "SSD",
        "os": "Ubuntu 16.04.6 LTS",
        "dbc_version": "0.3.7.3",
        "online_status": 1,
        "idle_status": 2 if used >= machine.gpus else 1,
        "length_of_available_time": 43200,
        "total_rent_count": 12,
        "error_rent_count": 1,
        "evaluation_score_average": 9.1,
        "can_create_cpu_container": True,
        "cpu_containers_can_use_disk": machine.container_disk,
        "gpu_containers_can_use_disk": machine.container_disk,
    }


def order_json(order: ContainerOrder, now: datetime) -> dict[str, Any]:
    def millis(at: datetime | None) -> int:
        return int(at.timestamp() * 1000) if at else 0

    end = order.stopped_at or now
    kept = -(-(order.kept_until - now) // MINUTE) if order.kept_until else 0
    return {
        "order_id": order.id,
        "order_id_pre": order.switched_from or None,
        "machine_id": order.machine.id,
        "task_id": order.task_id,
        "mode": order.mode,
        "gpu_count": order.gpus,
        "diskspace": order.disk,
        "diskspace_giving": GIVEN_DISK if order.kind == "gpu" else 0,
        "diskspace_image_data": order.used_disk,
        "from_stop_to_open": order.starts_stopped,
        "try_rent": order.is_trial,
        "memory": order.memory,
        "dbc_price": float(order.price),
        "gpu_price_dollar": float(order.machine.price),
        "dbc_total_count": to_json_number(order.total),
        "code": str(Decimal(order.payment_mark) / UNIT),
        "dbc_real_need_count": to_json_number(order.compute_cost(end)),
        "real_rent_time": order.count_begun_minutes(end),
        "rest_time_rent": order.minutes - order.count_begun_minutes(end),
        "remaining_time_length": kept,
        "stopped_time_length": (now - order.stopped_at) // MINUTE if order.stopped_at else 0,
        "have_continue_pay": len(order.terms) > 1,
        "wallet_address_dbchain": order.address,
        "milli_create_order_time": millis(order.created_at),
        "milli_rent_success_time": millis(order.rented_at),
        "creating_container": order.container_requested_at is not None and order.container_at is None,
        "container_is_exist": (order.container_at is not None and not order.over) or bool(kept),
        "vocing_pay": False,
        "pay_success": order.rented,
        "pay_error": order.pay_error,
        "rent_success": order.rented,
        "return_dbc": order.returned,
        "order_is_cancer": order.cancelled,
        "order_is_over": order.over,
        "order_isnormal_over": order.ended_well,
    }


def renewal_json(renewal: OrderRenewal) -> dict[str, Any]:
    return {
        "continue_pay_order_id": renewal.id,
        "order_id": renewal.order.id,
        "dbc_price": float(renewal.price),
        "dbc_total_count": to_json_number(renewal.total),
        "code": str(to_json_number(renewal.payment_mark)),
        "rent_time_length": renewal.minutes,
        "main_order_is_over": renewal.order.over,
        "order_is_cancer": renewal.cancelled,
        "pay_error": renewal.pay_error,
        "pay_success": renewal.done,
        "return_dbc": renewal.returned,
    }
