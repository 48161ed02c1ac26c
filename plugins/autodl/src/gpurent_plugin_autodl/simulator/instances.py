"""An instance: its states, its runs and what they cost, and how the API shows it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import define, field, frozen

from gpurent.api import SandboxMachine

SECOND, HOUR_SECONDS = timedelta(seconds=1), 3600
BEIJING = timezone(timedelta(hours=8))
GIB = 1 << 30
SYSTEM_DISK_GB = 30


@frozen
class SpecPrice:
    """What one GPU of a specification costs in thousandths of a yuan per hour: after and before a discount."""

    gpu: str
    price: int
    origin_price: int


# The prices are made up, but for pro6000-p: those of the documentation's example.
PRICES: Mapping[str, SpecPrice] = {
    "h800": SpecPrice("NVIDIA H800", 8880, 9980),
    "v-48g": SpecPrice("NVIDIA RTX 4090", 2480, 2990),
    "pro6000-p": SpecPrice("NVIDIA RTX PRO 6000", 1970, 3030),
    "v-32g-p": SpecPrice("NVIDIA RTX 4080 SUPER", 1580, 1980),
    "v-48g-350w": SpecPrice("NVIDIA RTX 3090", 1870, 2180),
    "5090-p": SpecPrice("NVIDIA RTX 5090", 2930, 3330),
    "4090D": SpecPrice("NVIDIA RTX 4090D", 1880, 2080),
}


@define
class BilledRun:
    """One run: ``price`` is that of all GPUs; every second that has begun is billed, rounded up once."""

    started_at: datetime
    price: int
    stopped_at: datetime | None = None

    def compute_cost(self, at: datetime) -> int:
        end = at if self.stopped_at is None else min(at, self.stopped_at)
        seconds = -(-max(timedelta(), end - self.started_at) // SECOND)
        return -(-self.price * seconds // HOUR_SECONDS)


@frozen(kw_only=True)
class InstanceWish:
    """What a create asks for. ``disk``: GB beside those that each instance has."""

    spec: str
    gpus: int
    image: str
    cuda: int
    name: str
    disk: int
    start_command: str


@define(eq=False, kw_only=True)
class AutodlInstance:
    """One instance. ``steps``: what becomes of it next, and when. ``history``: each state, and since when."""

    id: str
    wish: InstanceWish
    created_at: datetime
    status: str = "creating"
    status_at: datetime
    steps: list[tuple[datetime, str]] = field(factory=list)
    runs: list[BilledRun] = field(factory=list)
    history: list[tuple[datetime, str]] = field(factory=list)
    password: str = field(factory=lambda: secrets.token_urlsafe(9), repr=False)
    port: int = 0
    machine: SandboxMachine | None = None

    @property
    def disk_key(self) -> str:
        """Key of its disk in the sandbox."""
        return f"autodl-{self.id}"

    @property
    def is_released(self) -> bool:
        return self.status == "released"

    @property
    def has_gpus(self) -> bool:
        return self.status in ("creating", "starting", "running", "shutting_down")

    @property
    def is_billed(self) -> bool:
        return bool(self.runs) and self.runs[-1].stopped_at is None

    @property
    def price(self) -> int:
        return PRICES[self.wish.spec].price * self.wish.gpus

    def set_status(self, status: str, at: datetime) -> None:
        self.status, self.status_at = status, at
        self.history.append((at, status))

    def compute_cost(self, at: datetime) -> int:
        """Return all that it cost until ``at``, in thousandths of a yuan."""
        return sum(run.compute_cost(at) for run in self.runs)

    def describe(self) -> dict[str, Any]:
        """Return its row of the list."""
        last = self.runs[-1] if self.runs else None
        stops = [run.stopped_at for run in self.runs if run.stopped_at is not None]
        return {
            "created_at": format_time(self.created_at),
            "uuid": self.id,
            "machine_id": "4d67438b4f",
            "machine_alias": "",
            "region_sign": "bj-B2",
            "region_name": "北京B区",
            "status": self.status,
            "sub_status": "",
            "status_at": format_time(self.status_at),
            "start_mode": "gpu",
            "charge_type": "payg",
            "req_gpu_amount": self.wish.gpus,
            "expired_at": make_null_time(None),
            "started_at": make_null_time(last.started_at if last else None),
            # Of the run before, while it runs again.
            "stopped_at": make_null_time(stops[-1] if stops else None),
            "name": self.wish.name,
            "timed_shutdown_at": make_null_time(None),
            "gpu_spec_uuid": self.wish.spec,
        }

    def describe_access(self) -> dict[str, Any]:
        """Return its details. Assumed: price, address and password are empty unless it runs."""
        spec, runs = PRICES[self.wish.spec], self.status == "running"
        disk = (SYSTEM_DISK_GB + self.wish.disk) * GIB
        return {
            "region_sign": "bj-B2",
            "payg_price": spec.price if runs else 0,
            "origin_pay_price": spec.origin_price if runs else 0,
            "snapshot_gpu_alias_name": spec.gpu,
            "chip_corp": "nvidia",
            "cpu_arch": "x86",
            "usage_info": {
                "container_id": f"autodl-{self.id}",
                "valid_at": format_time(self.status_at),
                "root_fs_total_size": disk,
                "valid": runs,
            },
            "expand_system_disk_size": disk,
            "system_init_disk_size": SYSTEM_DISK_GB * GIB,
            "ssh_command": f"ssh -p {self.port} root@127.0.0.1" if runs else "",
            "proxy_host": "127.0.0.1" if runs else "",
            "root_password": self.password if runs else "",
            "ssh_port": self.port if runs else 0,
            "jupyter_token": f"jupyter-{self.id}" if runs else "",
            "jupyter_domain": "a1-1.bjb2.seetacloud.example:8443" if runs else "",
            "jupyter_port": 8888 if runs else 0,
            "service_6006_domain": "u1-1.bjb2.seetacloud.example:8443" if runs else "",
            "service_6006_port_protocol": "http",
            "service_6008_domain": "uu1-1.bjb2.seetacloud.example:8443" if runs else "",
            "service_6008_port_protocol": "http",
            "cg_application_info": {},
        }


def format_time(at: datetime) -> str:
    return at.astimezone(BEIJING).isoformat()


def make_null_time(at: datetime | None) -> dict[str, Any]:
    """Return a time as Go's `sql.NullTime` is written."""
    return {"Time": "0001-01-01T00:00:00Z" if at is None else format_time(at), "Valid": at is not None}
