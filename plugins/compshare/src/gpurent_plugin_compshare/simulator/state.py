"""The state of the CompShare simulator: accounts, machines, stock, time. Without HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from itertools import count

from gpurent.api import SimulatorContext, UsageError
from gpurent_plugin_compshare.simulator.accounts import ARREARS_STEPS, CompShareAccount, TopUp
from gpurent_plugin_compshare.simulator.amounts import Meter
from gpurent_plugin_compshare.simulator.instances import CompShareInstance, InstanceWish
from gpurent_plugin_compshare.simulator.life import InstanceLife
from gpurent_plugin_compshare.simulator.stock import PREPAID, Stock

Event = tuple[datetime, Callable[[datetime], Awaitable[None]]]
DAYS = {"Day": 1, "Month": 30}


class CompShareState:
    """All state of the simulator. Callers hold `lock` and call `catch_up` first; then it is `at`."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.lock = asyncio.Lock()
        self.at = context.clock.now()
        settings = context.settings
        self.stock = Stock.make(int(settings.get("free", context.machine_count)))
        self.stock.discount = int(settings.get("discount", "0"))
        self.life = InstanceLife(context, self.stock)
        self.bill_delay = timedelta(hours=int(settings.get("bill_delay_hours", "0")))
        self.hidden_until: datetime | None = None
        self._instance_numbers, self._payment_numbers = count(1), count(1)
        first = self.make_account(int(settings.get("level", "2")))
        first.public_key = settings.get("public_key", "") or first.public_key
        first.private_key = settings.get("private_key", "") or first.private_key
        first.has_real_name = settings.get("real_name") != "no"
        self.accounts = [first]

    def iter_instances(self) -> Iterator[tuple[CompShareAccount, CompShareInstance]]:
        """Yield the machines that are there."""
        for account in self.accounts:
            for instance in account.list_instances():
                yield account, instance

    # time

    async def catch_up(self) -> None:
        """Let everything happen that is due by now, in order, each at its own moment."""
        now = self._context.clock.now()
        while True:
            due = min(
                (event for event in self._iter_events() if event[0] <= now), key=_get_time, default=None
            )
            if due is None:
                break
            self.at = max(self.at, due[0])
            await due[1](self.at)
        self.at = max(self.at, now)

    def _iter_events(self) -> Iterator[Event]:
        for account in self.accounts:
            for meter in account.list_meters():
                if meter.due_at is not None:
                    yield meter.due_at, self._make_settlement(account, meter)
            if (step := account.find_arrears_step()) is not None:
                yield step, self._make_arrears_step(account)
            for instance in account.list_instances():
                yield from self._iter_instance_events(account, instance)

    def _iter_instance_events(
        self, account: CompShareAccount, instance: CompShareInstance
    ) -> Iterator[Event]:
        if instance.steps:

            async def step(at: datetime) -> None:
                await self.life.take_step(account, instance, at)

            yield instance.steps[0][0], step
        if instance.state == "Running" and instance.stops_at is not None:

            async def stop(at: datetime) -> None:
                await self.life.stop(instance, at)

            yield instance.stops_at, stop
        end = instance.expires_at or (instance.release_at if instance.state == "Stopped" else None)
        if end is not None:

            async def delete(at: datetime) -> None:
                # What is stopped for too long, or was paid until now (assumed), is deleted without its data disks.
                await self.life.delete(account, instance, at, keeps_data_disk=True)

            yield end, delete

    def _make_settlement(
        self, account: CompShareAccount, meter: Meter
    ) -> Callable[[datetime], Awaitable[None]]:
        async def settle(at: datetime) -> None:
            account.settle(meter, at)

        return settle

    def _make_arrears_step(self, account: CompShareAccount) -> Callable[[datetime], Awaitable[None]]:
        async def act(at: datetime) -> None:
            step = ARREARS_STEPS[account.arrears_step]
            account.arrears_step += 1
            for instance in account.list_instances():
                if instance.is_prepaid:
                    continue
                if step == "stopped" and instance.state == "Running":
                    await self.life.stop(instance, at)
                elif step == "deleted":
                    await self.life.delete(account, instance, at, keeps_data_disk=True)

        return act

    # accounts

    def make_account(self, level: int = 2) -> CompShareAccount:
        """Return a new account without money."""
        # The user's books outlive a sandbox: no account of another one has this name.
        name = f"sbx{secrets.token_hex(3)}"
        return CompShareAccount(project=f"org-{name}", email=f"{name}@sandbox.example", level=level)

    def find_account(self, name: str) -> CompShareAccount | None:
        """Return the account with that e-mail address or project."""
        return next((found for found in self.accounts if name in (found.email, found.project)), None)

    def add_money(self, account: CompShareAccount, units: int) -> None:
        account.top_ups.append(TopUp(next(self._payment_numbers), self.at, units))
        account.check_arrears(self.at)

    # machines

    def create_instance(self, account: CompShareAccount, wish: InstanceWish) -> CompShareInstance:
        instance_id = f"uhost-sbx{next(self._instance_numbers):06d}"
        made = CompShareInstance(
            id=instance_id,
            wish=wish,
            created_at=self.at,
            name=wish.name,
            charge_type=wish.charge_type,
            meter=Meter(instance_id, wish.charge_type),
        )
        account.instances.append(made)
        if made.charge_type in PREPAID:
            self.buy_term(account, made, "OT_BUY", wish.price * wish.quantity, wish.quantity)
        self.life.begin(made, self.at)
        return made

    def buy_term(
        self, account: CompShareAccount, instance: CompShareInstance, order: str, price: int, quantity: int
    ) -> None:
        """Pay a machine in advance."""
        end = self.at + timedelta(days=DAYS[instance.charge_type] * quantity)
        instance.paid, instance.paid_from, instance.expires_at = price, self.at, end
        account.add_bill(instance.meter, order, self.at, end, price, self.at)

    # levers: what others do

    def take_stock(self, zone: str, model: str) -> None:
        """Let others rent all GPUs of a model. Raises ``UsageError`` if there is no such model."""
        if (zone, model) not in self.stock.free:
            raise UsageError(f"no {model} in {zone}")
        self.stock.free[zone, model] = 0

    def find_instance(self, instance_id: str) -> tuple[CompShareAccount, CompShareInstance]:
        """Return a machine. Raises ``UsageError``."""
        for account, instance in self.iter_instances():
            if instance.id == instance_id:
                return account, instance
        raise UsageError(f"no machine {instance_id}")

    async def reclaim(self, instance_id: str) -> None:
        """Take a spot machine away from its user."""
        await self.life.reclaim(*self.find_instance(instance_id), self.at)

    async def fail_install(self, instance_id: str) -> None:
        await self.life.fail_install(*self.find_instance(instance_id), self.at)


def _get_time(event: Event) -> datetime:
    return event[0]
