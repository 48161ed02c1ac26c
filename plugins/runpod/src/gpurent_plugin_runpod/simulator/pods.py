"""A pod: its states, what it costs, and how both APIs show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from attrs import define, field, frozen

from gpurent.api import SandboxMachine
from gpurent_plugin_runpod.simulator.meters import (
    DISK_PRICE,
    STOPPED_DISK_PRICE,
    MeterSet,
    compute_storage_rate,
)
from gpurent_plugin_runpod.simulator.stock import (
    MEMORY_PER_GPU,
    VCPUS_PER_GPU,
    CpuFlavor,
    DataCenter,
    GpuType,
    Host,
    make_usd,
)


@frozen(kw_only=True)
class PodWish:
    """What a create asks for. ``persistent``: GB that a stop keeps, 0 for none; ``volume``: id of a network volume."""

    name: str
    image: str
    gpu: GpuType | None = None
    count: int = 0
    cpu: CpuFlavor | None = None
    vcpus: int = 0
    cuda: tuple[str, ...] = ()
    centers: tuple[str, ...] = ()
    disk: int = 20
    persistent: int = 0
    volume: str = ""
    path: str = "/workspace"
    ports: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict)
    args: str = ""
    starts_ssh: bool = False

    @property
    def price(self) -> int:
        """Of its GPUs or vCPUs, in micro-USD an hour."""
        return self.gpu.secure * self.count if self.gpu else self.cpu.price * self.vcpus if self.cpu else 0


@define(eq=False, kw_only=True)
class RunpodPod:
    """``steps``: what becomes of it next, and when. ``port``: of its SSH server, 0 until that is mapped."""

    id: str
    wish: PodWish
    name: str
    host: Host | None
    center: DataCenter
    env: dict[str, str]
    created_at: datetime
    costs: MeterSet
    status: str = "PROVISIONING"
    steps: list[tuple[datetime, str]] = field(factory=list)
    history: list[tuple[datetime, str]] = field(factory=list)
    locked: bool = False
    started_at: datetime | None = None
    terminated_at: datetime | None = None
    changed_at: datetime | None = None
    port: int = 0
    machine: SandboxMachine | None = None

    @property
    def disk_key(self) -> str:
        """Key of its disk in the sandbox; pods with the same network volume share one."""
        return f"runpod-{self.wish.volume or self.id}"

    @property
    def is_billed(self) -> bool:
        return self.costs.rate > 0

    @property
    def cost(self) -> Decimal:
        """What is stated as its cost in USD an hour: nothing while it is stopped, although its disk is billed."""
        return make_usd(0 if self.status in ("EXITED", "TERMINATED") else self.wish.price)

    @property
    def actions(self) -> list[str]:
        if self.status in ("EXITED", "ERROR"):
            return ["start", "terminate"]
        if self.status == "PROVISIONING":
            return ["terminate"]
        # Assumed: a pod on a network volume can only be terminated; its files stay on the volume.
        can_stop = not self.wish.volume and not self.locked
        return [*(["stop"] if can_stop else []), "restart", "terminate"]

    @property
    def authorized_keys(self) -> tuple[str, ...]:
        return tuple(line for line in self.env.get("PUBLIC_KEY", "").splitlines() if line.strip())

    def set_status(self, status: str, at: datetime) -> None:
        """Change the status, and what it costs from then on."""
        self.status, self.changed_at = status, at
        self.history.append((at, status))
        kept = self.wish.persistent
        if status == "TERMINATED":
            self.costs.set_rates(at)
        elif status in ("EXITED", "ERROR"):
            self.costs.set_rates(at, disk=compute_storage_rate(STOPPED_DISK_PRICE, kept))
        else:
            kind = "gpu" if self.wish.gpu else "cpu"
            disk = compute_storage_rate(DISK_PRICE, self.wish.disk + kept)
            self.costs.set_rates(at, **{kind: Fraction(self.wish.price)}, disk=disk)

    # REST

    def describe(self, now: datetime) -> dict[str, Any]:
        wish = self.wish
        mounts: dict[str, Any] = {}
        if wish.persistent:
            mounts["persistent"] = {"size": wish.persistent, "path": wish.path}
        elif wish.volume:
            mounts["network"] = [{"volumeId": wish.volume, "path": wish.path}]
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "actions": self.actions,
            "image": wish.image,
            "args": wish.args,
            "disk": wish.disk,
            "mounts": mounts,
            "ports": list(wish.ports),
            "env": dict(self.env),
            "registry": None,
            **self._describe_compute(),
            "cloud": "SECURE",
            "dataCenterId": self.center.id,
            "cudaVersion": wish.cuda[0] if wish.cuda else None,
            "ssh": self._describe_ssh(),
            "template": None,
            "cost": self.cost,
            "locked": self.locked,
            "globalNetworking": {"enabled": False},
            "runtime": self._describe_runtime(now),
            "createdAt": format_time(self.created_at),
            "startedAt": format_time(self.started_at) if self.started_at else None,
        }

    def _describe_compute(self) -> dict[str, Any]:
        if self.wish.gpu is not None:
            count = self.wish.count
            size = {"vcpuCount": VCPUS_PER_GPU * count, "memory": MEMORY_PER_GPU * count}
            return {"gpu": {"id": self.wish.gpu.id, "count": count, **size}}
        if self.wish.cpu is None:
            return {}
        memory = self.wish.vcpus * self.wish.cpu.memory_per_vcpu
        return {"cpu": {"id": self.wish.cpu.id, "vcpuCount": self.wish.vcpus, "memory": memory}}

    def _describe_ssh(self) -> dict[str, Any]:
        proxy = f"{self.id}-64411eb2"
        shown: dict[str, Any] = {
            "proxy": {
                "host": "ssh.runpod.io",
                "port": 22,
                "username": proxy,
                "command": f"ssh {proxy}@ssh.runpod.io",
            },
            "direct": None,
        }
        if self.is_mapped:
            shown["direct"] = {
                "host": "127.0.0.1",
                "port": self.port,
                "username": "root",
                "command": f"ssh root@127.0.0.1 -p {self.port}",
            }
        return shown

    @property
    def is_mapped(self) -> bool:
        return bool(self.port) and "22/tcp" in self.wish.ports

    def _describe_runtime(self, now: datetime) -> dict[str, Any] | None:
        if self.status != "RUNNING" or not self.port or self.started_at is None:
            return None
        ports = (
            [{"private": 22, "public": self.port, "type": "tcp", "ip": "127.0.0.1"}] if self.is_mapped else []
        )
        return {
            "uptime": (now - self.started_at) // timedelta(seconds=1),
            "gpus": [{"util": 0, "memoryUtil": 0} for _gpu in range(self.wish.count)],
            "cpu": {"util": 0},
            "memory": {"util": 0},
            "ports": ports,
        }

    # GraphQL

    def describe_graph(self, now: datetime) -> dict[str, Any]:
        """Return it as GraphQL knows it; of the states, only what it is meant to be."""
        wish, runtime = self.wish, self._describe_runtime(now)
        ports = [
            {
                "ip": port["ip"],
                "isIpPublic": True,
                "privatePort": port["private"],
                "publicPort": port["public"],
                "type": port["type"],
            }
            for port in (runtime or {}).get("ports", [])
        ]
        ended = self.status in ("EXITED", "TERMINATED", "ERROR")
        return {
            "id": self.id,
            "name": self.name,
            "imageName": wish.image,
            "desiredStatus": ("TERMINATED" if self.status == "TERMINATED" else "EXITED")
            if ended
            else "RUNNING",
            "costPerHr": self.cost,
            "gpuCount": wish.count,
            "vcpuCount": wish.vcpus or VCPUS_PER_GPU * wish.count,
            "memoryInGb": MEMORY_PER_GPU * wish.count or wish.vcpus * 2,
            "containerDiskInGb": wish.disk,
            "volumeInGb": wish.persistent,
            "volumeMountPath": wish.path,
            "networkVolumeId": wish.volume or None,
            "dockerArgs": wish.args,
            "dockerId": None,
            "env": [f"{name}={value}" for name, value in self.env.items()],
            "lastStatusChange": f"{self.status}: {format_time(self.changed_at or self.created_at)}",
            "machineId": self.host.id if self.host else "cpu-host",
            "podType": "RESERVED",
            "port": None,
            "ports": ",".join(wish.ports),
            "uptimeSeconds": runtime["uptime"] if runtime else 0,
            "runtime": {"ports": ports} if runtime else None,
            "machine": {
                "gpuDisplayName": wish.gpu.name if wish.gpu else None,
                "podHostId": f"{self.id}-64411eb2",
                "dataCenterId": self.center.id,
            },
        }


def format_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
