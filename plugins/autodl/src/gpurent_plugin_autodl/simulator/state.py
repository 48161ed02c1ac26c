"""The state of the AutoDL simulator: accounts, instances, time. Without HTTP.

Assumed: how long each state takes; that a start is billed from ``running`` to ``shutdown``; that at a balance of 0 all
instances are shut down at that very moment; that a stop that comes too early is answered with success, without effect.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

from attrs import define, field, frozen

from gpurent.api import SandboxMachine, SimulatorContext
from gpurent_plugin_autodl.simulator.instances import SECOND, AutodlInstance, BilledRun, InstanceWish
from gpurent_plugin_autodl.simulator.refusal import AutodlRefusal, no_balance, no_stock

LEAST_USER, MOST_USER = 10**5, 10**6
STARTING_AFTER, RUNNING_AFTER = timedelta(seconds=2), timedelta(seconds=12)
RESTARTS_AFTER, SSH_AFTER = timedelta(seconds=8), timedelta(seconds=3)
STOPS_AFTER, RELEASES_AFTER = timedelta(seconds=5), timedelta(seconds=2)
KEPT_FOR = timedelta(days=15)


@frozen
class AutodlPayment:
    """Money that was paid in, in thousandths of a yuan."""

    number: int
    at: datetime
    amount: int


@define(eq=False, kw_only=True)
class AutodlAccount:
    """One account. ``held`` is blocked, and part of what it has."""

    uid: int
    token: str = field(factory=lambda: secrets.token_urlsafe(24), repr=False)
    payments: list[AutodlPayment] = field(factory=list)
    instances: list[AutodlInstance] = field(factory=list)
    images: list[tuple[str, str, datetime]] = field(factory=list)
    messages: list[datetime] = field(factory=list)
    held: int = 0

    def compute_assets(self, at: datetime) -> int:
        paid = sum(payment.amount for payment in self.payments if payment.at <= at)
        return paid - self.compute_spent(at)

    def compute_spent(self, at: datetime) -> int:
        return sum(instance.compute_cost(at) for instance in self.instances)

    def find_instance(self, ref: object) -> AutodlInstance | None:
        return next((one for one in self.instances if one.id == ref and not one.is_released), None)

    def find_end_of_money(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first moment after ``start``, up to ``end``, at which nothing is left; None if there is."""
        if self.compute_assets(end) > 0 or not any(instance.is_billed for instance in self.instances):
            return None
        low, high = 0, (end - start) // timedelta(microseconds=1)
        while low < high:
            middle = (low + high) // 2
            if self.compute_assets(start + timedelta(microseconds=middle)) <= 0:
                high = middle
            else:
                low = middle + 1
        return start + timedelta(microseconds=low)


class AutodlState:
    """All state of the simulator. Callers hold `lock` and call `catch_up` first; then it is `at`."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.settings = context.settings
        self.lock = asyncio.Lock()
        self.at = context.clock.now()
        self.stock = int(context.settings.get("stock", context.machine_count))
        """How many instances of each specification there may be at once, of all accounts."""
        self.hidden_until: datetime | None = None
        self.longest_page = int(context.settings.get("page_size", "100"))
        self.accounts: list[AutodlAccount] = []
        self._users, self._payments = count(LEAST_USER + secrets.randbelow(MOST_USER - LEAST_USER)), count(1)
        self.make_account(context.settings.get("token", ""))

    def iter_instances(self) -> Iterator[AutodlInstance]:
        """Yield the instances that are not released."""
        for account in self.accounts:
            yield from (one for one in account.instances if not one.is_released)

    # time

    async def catch_up(self) -> None:
        """Let everything happen that is due by now, in order, each at its own moment."""
        now = self._context.clock.now()
        while True:
            due = self._find_next_step(now)
            broke = self._find_next_broke(due[0] if due else now)
            if broke is not None:
                self.at = max(self.at, broke[0])
                for instance in broke[1].instances:
                    if instance.is_billed:
                        await self._take_step(instance, self.at, "shutdown")
            elif due is not None:
                self.at = max(self.at, due[0])
                due[1].steps.pop(0)
                await self._take_step(due[1], due[0], due[2])
            else:
                break
        self.at = max(self.at, now)

    def _find_next_step(self, now: datetime) -> tuple[datetime, AutodlInstance, str] | None:
        waiting = [(one.steps[0][0], one, one.steps[0][1]) for one in self.iter_instances() if one.steps]
        return min((item for item in waiting if item[0] <= now), key=lambda item: item[0], default=None)

    def _find_next_broke(self, until: datetime) -> tuple[datetime, AutodlAccount] | None:
        ends = [(account.find_end_of_money(self.at, until), account) for account in self.accounts]
        found = [(end, account) for end, account in ends if end is not None]
        return min(found, key=lambda item: item[0], default=None)

    async def _take_step(self, instance: AutodlInstance, at: datetime, step: str) -> None:
        if step == "boot":
            await self._boot(instance)
            return
        instance.set_status(step, at)
        if step == "running":
            instance.runs.append(BilledRun(at, instance.price))
            instance.port = instance.port or self._context.machines.find_free_port()
            instance.steps.append((at + SSH_AFTER, "boot"))
        elif step == "shutdown":
            if instance.is_billed:
                instance.runs[-1].stopped_at = at
            await self._kill(instance)
            instance.steps = [(at + KEPT_FOR, "releasing"), (at + KEPT_FOR + RELEASES_AFTER, "released")]
        elif step == "released":
            instance.steps = []
            await self._context.machines.delete_disk(instance.disk_key)

    async def _boot(self, instance: AutodlInstance) -> None:
        try:
            instance.machine = await self._boot_at(instance, instance.port)
        except OSError:  # somebody took the port meanwhile
            instance.machine = await self._boot_at(instance, 0)
        instance.port = instance.machine.port

    async def _boot_at(self, instance: AutodlInstance, port: int) -> SandboxMachine:
        return await self._context.machines.boot(
            user="root",
            password=instance.password,
            hostname=f"autodl-container-{instance.id[4:]}",
            data=instance.disk_key,
            missing=tuple(self.settings.get("missing", "").split()),
            port=port,
        )

    async def _kill(self, instance: AutodlInstance) -> None:
        live, instance.machine = instance.machine, None
        if live is not None:
            await self._context.machines.kill(live.id)

    # accounts

    def make_account(self, token: str = "") -> AutodlAccount:
        """Return a new account without money."""
        made = AutodlAccount(uid=next(self._users))
        made.token = token or made.token
        self.accounts.append(made)
        return made

    def find_account(self, uid: str) -> AutodlAccount | None:
        return next((account for account in self.accounts if str(account.uid) == uid), None)

    def pay_in(self, account: AutodlAccount, amount: int) -> None:
        account.payments.append(AutodlPayment(next(self._payments), self.at, amount))

    # instances

    def create_instance(self, account: AutodlAccount, wish: InstanceWish) -> AutodlInstance:
        """Create an instance, which starts at once. Raises `AutodlRefusal`."""
        self._require_free(account, wish.spec)
        at = self._get_second()
        made = AutodlInstance(id=f"pro-{secrets.token_hex(6)}", wish=wish, created_at=at, status_at=at)
        made.history.append((at, made.status))
        made.steps = [(at + STARTING_AFTER, "starting"), (at + RUNNING_AFTER, "running")]
        account.instances.append(made)
        return made

    def power_on(self, account: AutodlAccount, instance: AutodlInstance) -> None:
        """Start it again; at another port and with another password unless the setting ``moves`` is off."""
        if instance.status != "shutdown":
            raise AutodlRefusal("BadRequest", "实例当前状态不支持开机")
        self._require_free(account, instance.wish.spec)
        if self.settings.get("moves", "on") == "on":
            instance.port, instance.password = 0, secrets.token_urlsafe(9)
        at = self._get_second()
        instance.set_status("starting", at)
        instance.steps = [(at + RESTARTS_AFTER, "running")]

    def power_off(self, instance: AutodlInstance) -> None:
        if instance.status in ("shutting_down", "shutdown", "releasing"):
            raise AutodlRefusal("BadRequest", "实例已关机或正在关机中")
        if instance.status == "running":
            at = self._get_second()
            instance.set_status("shutting_down", at)
            instance.steps = [(at + STOPS_AFTER, "shutdown")]

    def release(self, instance: AutodlInstance) -> None:
        if instance.status != "shutdown":
            raise AutodlRefusal("BadRequest", "请在实例关机状态下执行释放操作")
        at = self._get_second()
        instance.set_status("releasing", at)
        instance.steps = [(at + RELEASES_AFTER, "released")]

    def _require_free(self, account: AutodlAccount, spec: str) -> None:
        if account.compute_assets(self.at) <= account.held:
            raise no_balance()
        if sum(one.has_gpus and one.wish.spec == spec for one in self.iter_instances()) >= self.stock:
            raise no_stock()

    def _get_second(self) -> datetime:
        """Return the next whole second: what the service states of times is not finer."""
        whole = self.at.replace(microsecond=0)
        return whole if whole == self.at else whole + SECOND
