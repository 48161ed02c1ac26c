"""A machine: its states, what it costs, and how the API shows it."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime, timedelta
from typing import Any

from attrs import define, field, frozen

from gpurent.api import SandboxMachine
from gpurent_plugin_compshare.simulator.amounts import (
    CARDLESS_PRICE,
    CHINA,
    DISK_PRICE,
    SECOND,
    Meter,
    disk_rate,
    make_yuan,
)
from gpurent_plugin_compshare.simulator.stock import PREPAID, GpuModel, Image, Zone

KEPT_DAYS, RELEASE_HOUR = 7, 12
CARDLESS_SIZE = 1, 4


@frozen(kw_only=True)
class InstanceWish:
    """What a create asks for. ``price``: units per hour, or per day or month; ``disk`` and ``data_disk`` in GB."""

    zone: Zone
    model: GpuModel
    size: tuple[int, int, int]
    image: Image
    charge_type: str
    quantity: int
    price: int
    disk: int
    data_disk: int
    name: str
    remark: str


@define(eq=False, kw_only=True)
class CompShareInstance:
    """One machine. ``steps``: what becomes of it next, and when; ``locked_until``: no operation before."""

    id: str
    wish: InstanceWish
    created_at: datetime
    name: str
    charge_type: str
    meter: Meter
    password: str = field(factory=lambda: f"Cs{secrets.token_urlsafe(9)}", repr=False)
    state: str = "Initializing"
    changed_at: datetime | None = None
    started_at: datetime | None = None
    is_cardless: bool = False
    holds_gpus: bool = False
    steps: list[tuple[datetime, str]] = field(factory=list)
    locked_until: datetime | None = None
    paid: int = 0
    paid_from: datetime | None = None
    expires_at: datetime | None = None
    release_at: datetime | None = None
    stops_at: datetime | None = None
    deleted_at: datetime | None = None
    sandbox_machine: SandboxMachine | None = None

    @property
    def disk_key(self) -> str:
        """Key of its disk in the sandbox."""
        return f"compshare-{self.id}"

    @property
    def is_prepaid(self) -> bool:
        return self.charge_type in PREPAID

    @property
    def stopped_rate(self) -> int:
        """What its disks cost an hour, also while it is stopped."""
        return 0 if self.is_prepaid else disk_rate(self.wish.disk) + self.wish.data_disk * DISK_PRICE

    @property
    def running_rate(self) -> int:
        if self.is_prepaid:
            return 0
        return self.stopped_rate + (CARDLESS_PRICE if self.is_cardless else self.wish.price)

    def set_state(self, state: str, at: datetime) -> None:
        self.state, self.changed_at = state, at
        self.release_at = find_release(at) if state == "Stopped" and not self.is_prepaid else None

    def is_locked(self, at: datetime) -> bool:
        """Whether an operation is under way, or its lock has not run out."""
        return bool(self.steps) or (self.locked_until is not None and at < self.locked_until)

    def compute_refund(self, at: datetime) -> int:
        """Return what an early end gives back: the payment less its used share times 1.25 (a day) or 1.5 (a month)."""
        if self.paid_from is None or self.expires_at is None or at >= self.expires_at:
            return 0
        used, whole = (at - self.paid_from) // SECOND, (self.expires_at - self.paid_from) // SECOND
        percent = 125 if self.charge_type == "Day" else 150
        taken = -(-self.paid * used * percent // (whole * 100))
        return max(0, self.paid - taken)

    def describe(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        gpus, cpus, ram = self.wish.size
        if self.is_cardless:
            gpus, cpus, ram = 0, *CARDLESS_SIZE
        disk = disk_rate(self.wish.disk)
        live = self.sandbox_machine
        return {
            "UHostId": self.id,
            "Name": self.name,
            "Remark": self.wish.remark,
            "Tag": "Default",
            "Region": self.wish.zone.region,
            "Zone": self.wish.zone.name,
            "State": self.state,
            "ChargeType": self.charge_type,
            "InstancePrice": make_yuan(CARDLESS_PRICE if self.is_cardless else self.wish.price),
            "DiskPriceInfo": [
                {"ChargeType": self.charge_type, "IsBoot": True, "Price": make_yuan(disk)},
                *self._describe_data_disk(),
            ],
            "PostPayPowerOffBillingResource": [
                {"ChargeType": self.charge_type, "IsBoot": True, "Price": make_yuan(disk)},
                *self._describe_data_disk(),
            ]
            if self.charge_type == "Postpay"
            else None,
            "GpuType": self.wish.model.name,
            "MachineType": "G",
            "InstanceType": "Container" if self.wish.image.is_container else "UHost",
            "GPU": gpus,
            "CPU": cpus,
            "Memory": ram * 1024,
            "CompShareImageId": self.wish.image.id,
            "CompShareImageName": self.wish.image.name,
            "IPSet": [{"IP": live.host, "IPMode": "IPv4", "Type": "Bgp"}] if live else None,
            "SshLoginCommand": f"ssh -p {live.port} {self.wish.image.user}@{live.host}" if live else "",
            "Password": base64.b64encode(self.password.encode()).decode(),
            "CreateTime": int(self.created_at.timestamp()),
            "StartTime": int(self.started_at.timestamp()) if self.started_at else 0,
            "UpdateTime": int((self.changed_at or self.created_at).timestamp()),
            "ExpireTime": int(self.expires_at.timestamp()) if self.expires_at else 0,
            "ReleaseTime": int(self.release_at.timestamp()) if self.release_at else 0,
            "StopSchedulerTime": int(self.stops_at.timestamp()) if self.stops_at else 0,
            "SchedulerStopTime": int(self.stops_at.timestamp()) if self.stops_at else 0,
            "SupportWithoutGpuStart": self.charge_type == "Postpay",
            "WithoutGpuSpec": {"Cpu": CARDLESS_SIZE[0], "Gpu": 0, "Memory": CARDLESS_SIZE[1]},
        }

    def _describe_data_disk(self) -> list[dict[str, Any]]:
        if not self.wish.data_disk:
            return []
        price = make_yuan(self.wish.data_disk * DISK_PRICE)
        return [{"ChargeType": self.charge_type, "IsBoot": False, "Price": price}]


def find_release(at: datetime) -> datetime:
    """Return when a machine that is stopped now is released: at noon in China, after seven days."""
    local = at + CHINA + timedelta(days=KEPT_DAYS)
    noon = local.replace(hour=RELEASE_HOUR, minute=0, second=0, microsecond=0)
    return noon + timedelta(days=int(noon < local)) - CHINA
