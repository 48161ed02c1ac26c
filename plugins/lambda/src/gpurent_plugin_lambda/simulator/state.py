"""Accounts, keys, instances and time, without HTTP.

Documented: billed by started minutes, from the moment at which it passes its health checks until it is terminated.
Assumed: how long each state takes, and that a minute costs a sixtieth of the hourly price, cut off to a micro-dollar.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from attrs import define, field, frozen

from gpurent.api import Currency, SandboxMachine, SimulatorContext
from gpurent_plugin_lambda.simulator.catalog import TYPES, Capacity, describe_region

LOG = logging.getLogger(__name__)
MICRO_USD = Currency("USD", 6)
MICROS_PER_CENT = 10_000
MINUTE = timedelta(minutes=1)
TERMINATES_AFTER, FORGOTTEN_AFTER = timedelta(seconds=20), timedelta(minutes=10)
NOT_LAUNCHED = {
    "available": False,
    "reason_code": "vm-has-not-launched",
    "reason_description": "The VM has not launched.",
}
TERMINATING = {
    "available": False,
    "reason_code": "vm-is-terminating",
    "reason_description": "The VM is terminating.",
}
ACTIONS = ("migrate", "rebuild", "restart", "cold_reboot", "terminate")


def make_id() -> str:
    return secrets.token_hex(16)


@frozen
class SshKey:
    id: str
    name: str
    line: str

    def describe(self) -> dict[str, str]:
        return {"id": self.id, "name": self.name, "public_key": self.line}


@define(eq=False, kw_only=True)
class LambdaInstance:
    """A machine. ``active_at`` and ``ended_at`` are the moments between which it is billed."""

    id: str
    name: str
    kind: str
    region: str
    key: SshKey
    launched_at: datetime
    status: str = "booting"
    steps: list[tuple[datetime, str]] = field(factory=list)
    active_at: datetime | None = None
    ended_at: datetime | None = None
    machine: SandboxMachine | None = None
    port: int = 0

    @property
    def is_billed(self) -> bool:
        return self.active_at is not None and self.ended_at is None

    @property
    def is_there(self) -> bool:
        return self.ended_at is None

    def count_minutes(self, at: datetime) -> int:
        """Return the minutes that were begun until ``at``."""
        if self.active_at is None:
            return 0
        return max(0, -((min(at, self.ended_at or at) - self.active_at) // -MINUTE))

    def compute_cost(self, at: datetime) -> int:
        """Return what it cost until ``at``, in micro-USD."""
        return self.count_minutes(at) * TYPES[self.kind].cents * MICROS_PER_CENT // 60

    def describe(self) -> dict[str, Any]:
        blocked = {"booting": NOT_LAUNCHED, "terminating": TERMINATING, "terminated": TERMINATING}
        action = blocked.get(self.status, {"available": True})
        # Only while it launches it can be terminated too.
        ending = {"available": True} if self.status == "booting" else action
        shown: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "ssh_key_names": [self.key.name],
            "file_system_names": [],
            "region": describe_region(self.region),
            "instance_type": TYPES[self.kind].describe(),
            "is_reserved": False,
            "actions": {name: ending if name == "terminate" else action for name in ACTIONS},
        }
        if self.port:
            shown |= {"ip": f"127.0.0.1:{self.port}", "private_ip": "10.19.60.24"}
        return shown


@define(eq=False, kw_only=True)
class LambdaAccount:
    """``events``: time, resource, action and id, oldest first."""

    api_key: str
    lrn: str = field(factory=lambda: f"lrn:cloud:account:{make_id()}")
    keys: dict[str, SshKey] = field(factory=dict)
    instances: list[LambdaInstance] = field(factory=list)
    events: list[tuple[datetime, str, str, str]] = field(factory=list)

    def find_key(self, name: str) -> SshKey | None:
        return next((key for key in self.keys.values() if key.name == name), None)

    def find_instance(self, ref: str) -> LambdaInstance | None:
        return next((one for one in self.instances if one.id == ref and one.status != "gone"), None)


class LambdaState:
    """All state. Callers hold `lock` and call `catch_up` first; then it is `at`."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.lock = asyncio.Lock()
        self.at = context.clock.now()
        settings = context.settings
        self.capacity = Capacity(int(settings.get("free", context.machine_count)))
        self.hidden_until: datetime | None = None
        self._boot_time = timedelta(seconds=int(settings.get("boot_seconds", "50")))
        self._sshd_time = timedelta(seconds=int(settings.get("sshd_seconds", "3")))
        self.accounts: list[LambdaAccount] = []
        self.make_account(settings.get("api_key", ""))

    def make_account(self, api_key: str = "") -> LambdaAccount:
        made = LambdaAccount(api_key=api_key or f"secret_sandbox_{secrets.token_hex(16)}")
        made.events.append((self.at, "api_key", "created", make_id()))
        self.accounts.append(made)
        return made

    def iter_instances(self) -> Iterator[LambdaInstance]:
        for account in self.accounts:
            yield from account.instances

    # time

    async def catch_up(self) -> None:
        """Let everything happen that is due by now, in order, each at its own moment."""
        now = self._context.clock.now()
        while due := [one for one in self.iter_instances() if one.steps and one.steps[0][0] <= now]:
            instance = min(due, key=lambda one: one.steps[0][0])
            at, step = instance.steps.pop(0)
            self.at = max(self.at, at)
            await self._take_step(instance, step)
        self.at = max(self.at, now)

    async def _take_step(self, instance: LambdaInstance, step: str) -> None:
        if step == "sshd":
            await self._boot(instance)
            return
        instance.status = step
        if step == "active":
            instance.active_at, instance.port = (
                instance.active_at or self.at,
                self._context.machines.find_free_port(),
            )
            instance.steps = [(self.at + self._sshd_time, "sshd")]
        elif step == "terminated":
            self.capacity.left[instance.kind, instance.region] += 1

    async def _boot(self, instance: LambdaInstance) -> None:
        try:
            instance.machine = await self._boot_at(instance, instance.port)
        except OSError:  # somebody took the port meanwhile
            instance.machine = await self._boot_at(instance, 0)
        except RuntimeError as why:
            LOG.warning("instance %s does not boot: %s", instance.id, why)
            instance.status = "unhealthy"
            return
        instance.port = instance.machine.port

    async def _boot_at(self, instance: LambdaInstance, port: int) -> SandboxMachine:
        settings = self._context.settings
        return await self._context.machines.boot(
            user="ubuntu",
            hostname=instance.id[:8],
            data=f"lambda-{instance.id}",
            authorized_keys=(instance.key.line,),
            missing=tuple(settings.get("missing", "").split()),
            disk_bytes=int(settings.get("disk_bytes", "0")) or None,
            port=port,
        )

    # what the account does

    def add_key(self, account: LambdaAccount, name: str, line: str) -> SshKey:
        made = SshKey(make_id(), name, line)
        account.keys[made.id] = made
        account.events.append((self.at, "ssh_key", "created", made.id))
        return made

    def delete_key(self, account: LambdaAccount, key: SshKey) -> None:
        """A machine that was launched with it keeps it (assumed)."""
        del account.keys[key.id]
        account.events.append((self.at, "ssh_key", "deleted", key.id))

    def launch(
        self, account: LambdaAccount, kind: str, region: str, key: SshKey, name: str
    ) -> LambdaInstance:
        """Launch an instance; the region has capacity."""
        made = LambdaInstance(id=make_id(), name=name, kind=kind, region=region, key=key, launched_at=self.at)
        self.capacity.left[kind, region] -= 1
        made.steps = [(self.at + self._boot_time, "active")]
        account.instances.append(made)
        account.events.append((self.at, "instance", "launched", made.id))
        return made

    async def terminate(self, account: LambdaAccount, instance: LambdaInstance) -> None:
        """End it: nothing is billed from now on. No-op if it has ended."""
        if instance.ended_at is not None:
            return
        instance.ended_at, instance.status = self.at, "terminating"
        instance.steps = [
            (self.at + TERMINATES_AFTER, "terminated"),
            (self.at + TERMINATES_AFTER + FORGOTTEN_AFTER, "gone"),
        ]
        account.events.append((self.at, "instance", "terminated", instance.id))
        await self._kill(instance)

    async def restart(self, instance: LambdaInstance) -> None:
        """Restart it with its disk; it is billed on."""
        await self._kill(instance, deletes=False)
        instance.status, instance.steps = "booting", [(self.at + self._boot_time, "active")]

    # what others do

    async def fail(self, instance: LambdaInstance, status: str) -> None:
        """Make an instance ``unhealthy``, or take it back (``preempted``)."""
        instance.status, instance.steps = status, []
        if status == "preempted":
            instance.ended_at = self.at
        await self._kill(instance, deletes=status == "preempted")

    async def _kill(self, instance: LambdaInstance, *, deletes: bool = True) -> None:
        live, instance.machine, instance.port = instance.machine, None, 0
        if live is not None:
            await self._context.machines.kill(live.id)
        if deletes:
            await self._context.machines.delete_disk(f"lambda-{instance.id}")
