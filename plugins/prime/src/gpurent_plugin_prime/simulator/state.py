"""Accounts, wallets, pods, disks and time, without HTTP.

Assumed: how long each state takes; that a pod is billed by the second from ACTIVE on, cut off to a micro-dollar; and
that the pods of an empty wallet are deleted at that moment.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import count
from math import ceil, floor
from typing import Any
from uuid import uuid4

from attrs import define, field, frozen

from gpurent.api import Currency, SandboxMachine, SimulatorContext
from gpurent_plugin_prime.simulator.catalog import Cloud, Listing, describe_odd_ones, make_listings

LOG = logging.getLogger(__name__)
MICRO_USD = Currency("USD", 6)
MICROS = 10**6
SECOND = timedelta(seconds=1)
DISK_PRICE = Fraction(100)
"""Micro-USD for a GB and hour of a disk of its own."""


def write_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"


@frozen
class SshKey:
    id: str
    name: str
    line: str
    at: datetime


@define(kw_only=True)
class Resource:
    """What is billed: ``price`` in micro-USD per hour, from ``billed_from`` until ``ended_at``."""

    id: str
    name: str
    kind: str
    price: Fraction
    created_at: datetime
    billed_from: datetime | None = None
    ended_at: datetime | None = None
    bill_id: str = field(factory=lambda: uuid4().hex)

    @property
    def is_billed(self) -> bool:
        return self.billed_from is not None and self.ended_at is None

    def compute_cost(self, at: datetime) -> int:
        """Return what it cost until ``at``, in micro-USD."""
        if self.billed_from is None:
            return 0
        seconds = max(0, (min(at, self.ended_at or at) - self.billed_from) // SECOND)
        return floor(self.price * seconds / 3600)


@define(kw_only=True, eq=False)
class Disk(Resource):
    """A disk that outlives pods."""

    size: int
    cloud: Cloud


@define(kw_only=True, eq=False)
class Pod(Resource):
    listing: Listing
    disk: int
    image: str
    key: SshKey | None
    status: str = "PROVISIONING"
    installation: str = "PENDING"
    failure: str | None = None
    steps: list[tuple[datetime, str]] = field(factory=list)
    machine: SandboxMachine | None = None
    port: int = 0
    mounted: Disk | None = None

    @property
    def disk_key(self) -> str:
        """Key of its files in the sandbox: those of the disk that it was created with, if there is one (assumed)."""
        return f"prime-{self.mounted.id if self.mounted is not None else self.id}"

    @property
    def is_there(self) -> bool:
        return self.ended_at is None


@define(kw_only=True, eq=False)
class PrimeAccount:
    api_key: str
    user_id: str = field(factory=lambda: f"user{uuid4().hex[:12]}")
    wallet_id: str = field(factory=lambda: uuid4().hex)
    payments: list[tuple[datetime, int]] = field(factory=list)
    keys: dict[str, SshKey] = field(factory=dict)
    pods: list[Pod] = field(factory=list)
    disks: list[Disk] = field(factory=list)

    @property
    def resources(self) -> list[Resource]:
        return [*self.pods, *self.disks]

    def compute_balance(self, at: datetime) -> int:
        paid = sum(amount for when, amount in self.payments if when <= at)
        return paid - sum(one.compute_cost(at) for one in self.resources)

    def find_pod(self, ref: str) -> Pod | None:
        return next((pod for pod in self.pods if pod.id == ref), None)

    def find_disk(self, ref: object) -> Disk | None:
        """Return a disk that was not deleted."""
        return next((disk for disk in self.disks if disk.id == ref and disk.ended_at is None), None)

    def list_pods_on(self, disk: Disk) -> list[Pod]:
        return [pod for pod in self.pods if pod.mounted is disk and pod.is_there]


class PrimeState:
    """All state. Callers hold `lock` and call `catch_up` first; then it is `at`."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.lock = asyncio.Lock()
        self.at = context.clock.now()
        settings = context.settings
        self.listings = make_listings(int(settings.get("free", context.machine_count)))
        self.hidden_until: datetime | None = None
        self._setup_time = timedelta(seconds=int(settings.get("setup_seconds", "40")))
        self._install_time = timedelta(seconds=int(settings.get("install_seconds", "10")))
        self._delete_time = timedelta(seconds=int(settings.get("delete_seconds", "0")))
        self._numbers = count(1)
        self.accounts: list[PrimeAccount] = []
        self.make_account(settings.get("api_key", ""))

    def make_account(self, api_key: str = "") -> PrimeAccount:
        self.accounts.append(PrimeAccount(api_key=api_key or f"pit_{secrets.token_hex(32)}"))
        return self.accounts[-1]

    def describe_offers(self) -> list[dict[str, Any]]:
        return [*(listing.describe() for listing in self.listings), *describe_odd_ones()]

    def iter_pods(self) -> Iterator[Pod]:
        for account in self.accounts:
            yield from account.pods

    def find_account(self, wallet_id: str) -> PrimeAccount | None:
        return next((one for one in self.accounts if one.wallet_id == wallet_id), None)

    # time

    async def catch_up(self) -> None:
        """Let everything happen that is due by now, in order, each at its own moment."""
        now = self._context.clock.now()
        while True:
            due = min(
                (pod for pod in self.iter_pods() if pod.steps and pod.steps[0][0] <= now),
                key=lambda pod: pod.steps[0][0],
                default=None,
            )
            broke = self._find_next_broke(due.steps[0][0] if due else now)
            if broke is not None:
                self.at = max(self.at, broke[0])
                await self._end_all(broke[1])
            elif due is not None:
                at, step = due.steps.pop(0)
                self.at = max(self.at, at)
                await self._take_step(due, step)
            else:
                break
        self.at = max(self.at, now)

    def _find_next_broke(self, until: datetime) -> tuple[datetime, PrimeAccount] | None:
        """Return the first account whose wallet is empty by then, and when."""
        found = []
        for account in self.accounts:
            rate = sum((one.price / 3600 for one in account.resources if one.is_billed), Fraction(0))
            if rate:
                left = account.compute_balance(self.at)
                found.append((self.at + SECOND * max(0, ceil(left / rate)), account))
        due = [item for item in found if item[0] <= until and item[1].compute_balance(item[0]) <= 0]
        return min(due, key=lambda item: item[0], default=None)

    async def _end_all(self, account: PrimeAccount) -> None:
        for pod in account.pods:
            if pod.is_there:
                await self.delete(pod)
        for disk in account.disks:
            disk.ended_at = disk.ended_at or self.at

    async def _take_step(self, pod: Pod, step: str) -> None:
        if step == "FINISHED":
            await self._boot(pod)
            return
        pod.status = step
        if step == "ACTIVE":
            pod.billed_from, pod.installation, pod.port = (
                self.at,
                "ACTIVE",
                self._context.machines.find_free_port(),
            )
            pod.steps = [(self.at + self._install_time, "FINISHED")]

    async def _boot(self, pod: Pod) -> None:
        try:
            pod.machine = await self._boot_at(pod, pod.port)
        except OSError:  # somebody took the port meanwhile
            pod.machine = await self._boot_at(pod, 0)
        except RuntimeError as why:
            LOG.warning("pod %s does not boot: %s", pod.id, why)
            pod.status, pod.installation, pod.failure = "ERROR", "ERROR", "the container did not start"
            return
        pod.port, pod.installation = pod.machine.port, "FINISHED"

    async def _boot_at(self, pod: Pod, port: int) -> SandboxMachine:
        settings = self._context.settings
        return await self._context.machines.boot(
            user="root",
            hostname=pod.id[:8],
            data=pod.disk_key,
            authorized_keys=(pod.key.line,) if pod.key is not None else (),
            missing=tuple(settings.get("missing", "").split()),
            disk_bytes=int(settings.get("disk_bytes", "0")) or None,
            port=port,
        )

    # what the account does

    def pay_in(self, account: PrimeAccount, micros: int) -> None:
        account.payments.append((self.at, micros))

    def add_key(self, account: PrimeAccount, name: str, line: str) -> SshKey:
        made = SshKey(uuid4().hex, name, line, self.at)
        account.keys[made.id] = made
        return made

    def create_pod(
        self,
        account: PrimeAccount,
        listing: Listing,
        name: str,
        disk: int,
        image: str,
        key: SshKey | None,
        mounted: Disk | None = None,
    ) -> Pod:
        """Create a pod of a listing that has one left."""
        listing.left -= 1
        made = Pod(
            id=uuid4().hex,
            name=name or f"pod-{next(self._numbers)}",
            kind="compute",
            price=Fraction(listing.price_with(disk)) * MICROS,
            created_at=self.at,
            listing=listing,
            disk=disk,
            image=image,
            key=key,
            mounted=mounted,
        )
        made.steps = [(self.at + self._setup_time, "ACTIVE")]
        account.pods.append(made)
        return made

    async def delete(self, pod: Pod) -> None:
        """Delete a pod: nothing is billed from now on. No-op if it has ended."""
        if pod.ended_at is not None:
            return
        pod.ended_at, pod.status = self.at, "TERMINATED"
        pod.steps = []
        if self._delete_time:
            pod.status, pod.steps = "DELETING", [(self.at + self._delete_time, "TERMINATED")]
        pod.listing.left += 1
        await self._kill(pod)

    def create_disk(self, account: PrimeAccount, name: str, size: int, cloud: Cloud) -> Disk:
        made = Disk(
            id=uuid4().hex,
            name=name,
            kind="disks",
            price=DISK_PRICE * size,
            created_at=self.at,
            billed_from=self.at,
            size=size,
            cloud=cloud,
        )
        account.disks.append(made)
        return made

    async def delete_account_disk(self, disk: Disk) -> None:
        """Delete a disk that no pod is on: nothing is billed from now on."""
        disk.ended_at = self.at
        await self._context.machines.delete_disk(f"prime-{disk.id}")

    # what others do

    async def fail(self, pod: Pod, why: str) -> None:
        """Let the machine of a pod fail; it is billed on."""
        pod.status, pod.installation, pod.failure, pod.steps = "ERROR", "ERROR", why, []
        await self._kill(pod)

    async def _kill(self, pod: Pod) -> None:
        live, pod.machine, pod.port = pod.machine, None, 0
        if live is not None:
            await self._context.machines.kill(live.id)
        if pod.ended_at is not None and pod.mounted is None:
            await self._context.machines.delete_disk(pod.disk_key)
