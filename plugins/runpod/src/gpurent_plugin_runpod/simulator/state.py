"""The state of the RunPod simulator: accounts, pods, volumes, time. Without HTTP.

Assumed: a pod is billed from its creation on; a change of its state is booked at once, the rest every five minutes; at
a balance of 0 all pods are stopped, and `grace_hours` (24) later those without a network volume are terminated.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

from attrs import define, field, frozen

from gpurent.api import SimulatorContext
from gpurent_plugin_runpod.simulator.life import PodLife
from gpurent_plugin_runpod.simulator.meters import (
    VOLUME_PRICE,
    Booking,
    MeterSet,
    compute_storage_rate,
    find_next_run,
)
from gpurent_plugin_runpod.simulator.pods import PodWish, RunpodPod
from gpurent_plugin_runpod.simulator.problem import LOW_BALANCE, NO_INSTANCES, Problem, not_found
from gpurent_plugin_runpod.simulator.stock import CENTERS, Stock, find_center

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@frozen
class CardPayment:
    """Credit that was bought, in micro-USD."""

    id: str
    at: datetime
    amount: int


@define(eq=False, kw_only=True)
class NetworkVolume:
    id: str
    name: str
    size: int
    center: str
    kind: str
    costs: MeterSet
    created_at: datetime
    deleted_at: datetime | None = None


@define(eq=False, kw_only=True)
class RunpodAccount:
    """``keys``: the registered SSH keys. ``delete_at``: when the pods of an account without credit are terminated.

    ``rival_writes``: how often from now on another program puts the old keys back, right after they were replaced.
    """

    id: str
    email: str
    api_key: str = field(repr=False)
    payments: list[CardPayment] = field(factory=list)
    bookings: list[Booking] = field(factory=list)
    pods: list[RunpodPod] = field(factory=list)
    volumes: list[NetworkVolume] = field(factory=list)
    keys: list[str] = field(factory=list)
    rival_writes: int = 0
    delete_at: datetime | None = None

    @property
    def balance(self) -> int:
        """In micro-USD; it may be below zero."""
        return sum(paid.amount for paid in self.payments) - sum(booked.total for booked in self.bookings)

    def list_pods(self) -> list[RunpodPod]:
        """Return the pods that are not terminated, oldest first."""
        return [pod for pod in self.pods if pod.terminated_at is None]

    def list_volumes(self) -> list[NetworkVolume]:
        return [volume for volume in self.volumes if volume.deleted_at is None]

    def list_costs(self) -> list[MeterSet]:
        """Return the meters of all that is there."""
        return [pod.costs for pod in self.list_pods()] + [volume.costs for volume in self.list_volumes()]

    def get_pod(self, pod_id: object) -> RunpodPod:
        """Return a pod that is not terminated. Raises `Problem` 404."""
        found = next((pod for pod in self.list_pods() if pod.id == pod_id), None)
        if found is None:
            raise not_found("pod")
        return found

    def get_volume(self, volume_id: object) -> NetworkVolume:
        found = next((volume for volume in self.list_volumes() if volume.id == volume_id), None)
        if found is None:
            raise not_found("network volume")
        return found


class RunpodState:
    """All state of the simulator. Callers hold `lock` and call `catch_up` first; then it is `at`."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.lock = asyncio.Lock()
        self.at = context.clock.now()
        settings = context.settings
        self.stock = Stock.make(
            int(settings.get("free", context.machine_count)), int(settings.get("taken", "1"))
        )
        self.grace = timedelta(hours=int(settings.get("grace_hours", "24")))
        self.hidden_until: datetime | None = None
        self.longest_page = int(settings.get("page_limit", "1000"))
        self.accounts: list[RunpodAccount] = []
        self.life = PodLife(context, self.book)
        self._numbers = count(1)
        first = self.make_account(settings.get("email", ""))
        first.api_key = settings.get("api_key", "") or first.api_key

    def iter_pods(self) -> Iterator[RunpodPod]:
        for account in self.accounts:
            yield from account.list_pods()

    def make_id(self) -> str:
        """Return a new id, longer than it need be, as the service's are."""
        return f"{next(self._numbers):04}" + "".join(secrets.choice(_LETTERS) for _letter in range(10))

    # time

    async def catch_up(self) -> None:
        """Let everything happen that is due by now, in order, each at its own moment."""
        now = self._context.clock.now()
        while True:
            steps = [(pod.steps[0][0], 0, pod.id) for pod in self.iter_pods() if pod.steps]
            runs = [(find_next_run(self.at), 1, "")] if self._is_billing() else []
            ends = [(account.delete_at, 2, account.id) for account in self.accounts if account.delete_at]
            due = min([*steps, *runs, *ends], default=None)
            if due is None or due[0] > now:
                break
            self.at = max(self.at, due[0])
            if due[1] == 0:
                pod = next(pod for pod in self.iter_pods() if pod.id == due[2])
                await self.life.take_step(pod, self.at)
            elif due[1] == 1:
                await self._run_billing()
            else:
                await self._end_pods(next(account for account in self.accounts if account.id == due[2]))
        self.at = max(self.at, now)

    def _is_billing(self) -> bool:
        volumes = (volume for account in self.accounts for volume in account.list_volumes())
        return any(pod.is_billed for pod in self.iter_pods()) or any(True for _volume in volumes)

    async def _run_billing(self) -> None:
        for account in self.accounts:
            for costs in account.list_costs():
                self._book(account, costs)
            if account.balance <= 0 and account.delete_at is None and account.list_pods():
                account.delete_at = self.at + self.grace
                for pod in account.list_pods():
                    if pod.status not in ("EXITED", "ERROR"):
                        await self.life.stop(pod, self.at)

    async def _end_pods(self, account: RunpodAccount) -> None:
        account.delete_at = None
        for pod in account.list_pods():
            if not pod.wish.volume:
                await self.life.terminate(pod, self.at)

    def book(self, pod: RunpodPod) -> None:
        """Book what a pod has cost until now."""
        for account in self.accounts:
            if pod in account.pods:
                self._book(account, pod.costs)

    def _book(self, account: RunpodAccount, costs: MeterSet) -> None:
        if booking := costs.book(self.at):
            account.bookings.append(booking)

    # accounts

    def make_account(self, email: str = "") -> RunpodAccount:
        """Return a new account without credit."""
        number = self.make_id()
        made = RunpodAccount(
            id=f"user_{number}",
            email=email or f"user{number}@sandbox.example",
            api_key="rpa_" + secrets.token_hex(24).upper(),
        )
        self.accounts.append(made)
        return made

    def find_account(self, name: str) -> RunpodAccount | None:
        """Return the account with that e-mail address or id."""
        return next((found for found in self.accounts if name in (found.email, found.id)), None)

    def add_credit(self, account: RunpodAccount, micros: int) -> None:
        """Pay by card; what was stopped stays stopped."""
        account.payments.append(CardPayment(self.make_id(), self.at, micros))
        if account.balance > 0:
            account.delete_at = None

    # pods and volumes

    def create_pod(self, account: RunpodAccount, wish: PodWish) -> RunpodPod:
        """Create a pod on a host that has room. Raises `Problem`."""
        centers = wish.centers
        if wish.volume:
            centers = (account.get_volume(wish.volume).center,)
        if account.balance < wish.price:
            raise Problem(402, LOW_BALANCE)
        host = None
        if wish.gpu is not None:
            host = self.stock.find_host(wish.gpu, wish.count, centers, wish.cuda)
            if host is None:
                raise Problem(400, NO_INSTANCES)
        center = host.center if host else (find_center(centers[0]) if centers else CENTERS[0])
        if center is None:
            raise Problem(400, NO_INSTANCES)
        env = dict(wish.env)
        if wish.starts_ssh and account.keys:
            # What the request sets itself is kept.
            env.setdefault("PUBLIC_KEY", "\n".join(account.keys))
        pod_id = self.make_id()
        made = RunpodPod(
            id=pod_id,
            wish=wish,
            name=wish.name,
            host=host,
            center=center,
            env=env,
            created_at=self.at,
            costs=MeterSet(pod_id, self.at),
        )
        account.pods.append(made)
        if host is not None:
            host.tenants[made.id] = wish.count
        self.life.begin(made, self.at)
        return made

    def create_volume(
        self, account: RunpodAccount, name: str, size: int, center: str, kind: str
    ) -> NetworkVolume:
        found = find_center(center)
        if found is None or kind not in found.volume_types:
            raise Problem(400, f"data center {center} has no such storage")
        costs = MeterSet(self.make_id(), self.at)
        costs.set_rates(self.at, standard=compute_storage_rate(VOLUME_PRICE, size))
        made = NetworkVolume(
            id=costs.ref, name=name, size=size, center=center, kind=kind, costs=costs, created_at=self.at
        )
        account.volumes.append(made)
        return made

    async def delete_volume(self, account: RunpodAccount, volume: NetworkVolume) -> None:
        """Delete a volume that no pod is on. Raises `Problem`."""
        if any(pod.wish.volume == volume.id for pod in account.list_pods()):
            raise Problem(409, "network volume is in use")
        self._book(account, volume.costs)
        volume.deleted_at = self.at
        volume.costs.set_rates(self.at)
        await self._context.machines.delete_disk(f"runpod-{volume.id}")
