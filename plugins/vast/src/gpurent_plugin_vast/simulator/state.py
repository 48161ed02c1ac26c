"""The state of the vast.ai simulator: accounts, machines, instances, time. Without HTTP.

Assumed: an account without credit has its instances stopped at that very moment; its storage is deleted `grace_hours`
later (48), and charged until then, so that the credit falls below zero.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import count

from gpurent.api import SimulatorContext, UsageError
from gpurent_plugin_vast.simulator.accounts import CardPayment, VastAccount, find_key
from gpurent_plugin_vast.simulator.instances import DISK, InstanceWish, SshKey, VastInstance
from gpurent_plugin_vast.simulator.life import InstanceLife
from gpurent_plugin_vast.simulator.market import OTHERS, MarketMachine, make_machines
from gpurent_plugin_vast.simulator.meters import Traffic
from gpurent_plugin_vast.simulator.refusal import VastRefusal
from gpurent_plugin_vast.simulator.schedule import ScheduledJob

GIGABYTE = 10**9
LEAST_NUMBER, MOST_NUMBER = 10**6, 10**8
LONGEST_PAGE = 10**6
OUT_OF_CREDIT = "Your account has no credit left."


class VastState:
    """All state of the simulator. Callers hold `lock` and call `catch_up` first; then it is `at`."""

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.lock = asyncio.Lock()
        self.at = context.clock.now()
        settings = context.settings
        free = int(settings.get("free", context.machine_count))
        made = make_machines(free, int(settings.get("taken", "1")))
        self.machines = {machine.offer_id: machine for machine in made}
        self.grace = timedelta(hours=int(settings.get("grace_hours", "48")))
        self.hidden_until: datetime | None = None
        self.longest_page = LONGEST_PAGE
        self.accounts: list[VastAccount] = []
        self.life = InstanceLife(context, self.iter_instances)
        # The user's books outlive a sandbox: what is of another one must not be taken for something of this one.
        self._user_numbers, self._instance_numbers = count(_draw_number()), count(_draw_number())
        self._key_numbers, self._invoice_numbers = count(_draw_number()), count(_draw_number())
        self.job_numbers = count(_draw_number())
        first = self.make_account(settings.get("email", ""))
        first.api_key = settings.get("api_key", "") or first.api_key

    def iter_instances(self) -> Iterator[VastInstance]:
        """Yield the instances that are there, oldest first."""
        found = [instance for account in self.accounts for instance in account.list_instances()]
        yield from sorted(found, key=lambda instance: instance.id)

    # time

    async def catch_up(self) -> None:
        """Let everything happen that is due by now, in order, each at its own moment."""
        now = self._context.clock.now()
        while True:
            due = self._find_next_step(now)
            job = self._find_next_job(due[0] if due else now)
            horizon = job[0] if job else due[0] if due else now
            broke = self._find_next_broke(horizon)
            deleted = self._find_next_deletion(min(horizon, broke[0]) if broke else horizon)
            if deleted is not None and deleted.delete_at is not None:
                self.at = max(self.at, deleted.delete_at)
                deleted.delete_at = None
                for instance in deleted.list_instances():
                    await self.life.destroy(instance, self.at)
            elif broke is not None:
                self.at = broke[0]
                await self._stop_all(broke[1])
            elif job is not None:
                self.at = max(self.at, job[0])
                await self._run_job(job[1], job[2])
            elif due is not None:
                self.at = max(self.at, due[0])
                _at, step = due[1].steps.pop(0)
                await self.life.take_step(due[1], self.at, step)
            else:
                break
        self.at = max(self.at, now)

    def _find_next_step(self, now: datetime) -> tuple[datetime, VastInstance] | None:
        waiting = [(found.steps[0][0], found) for found in self.iter_instances() if found.steps]
        due = [item for item in waiting if item[0] <= now]
        return min(due, key=lambda item: (item[0], item[1].id), default=None)

    def _find_next_job(self, until: datetime) -> tuple[datetime, VastAccount, ScheduledJob] | None:
        due = [
            (job.next_at, account, job)
            for account in self.accounts
            for job in account.jobs.values()
            if job.next_at is not None and job.next_at <= until
        ]
        return min(due, key=lambda item: (item[0], item[2].id), default=None)

    async def _run_job(self, account: VastAccount, job: ScheduledJob) -> None:
        job.find_next(self.at)
        instance = account.find_instance(job.instance_id)
        if instance is None:
            del account.jobs[job.id]
        elif job.stops:
            self.life.stop(instance, self.at)
        elif job.method == "DELETE":
            await self.life.destroy(instance, self.at)

    def _find_next_broke(self, until: datetime) -> tuple[datetime, VastAccount] | None:
        ends = [
            (end, account)
            for account in self.accounts
            if account.out_since is None and (end := account.find_end_of_credit(self.at, until))
        ]
        return min(ends, key=lambda item: (item[0], item[1].id), default=None)

    def _find_next_deletion(self, until: datetime) -> VastAccount | None:
        due = [found for found in self.accounts if found.delete_at is not None and found.delete_at <= until]
        return min(due, key=lambda found: (found.delete_at, found.id), default=None)

    async def _stop_all(self, account: VastAccount) -> None:
        account.out_since, account.delete_at = self.at, self.at + self.grace
        for instance in account.list_instances():
            instance.intended, instance.is_queued = "stopped", False
            if instance.has_gpus:
                await self.life.power_off(instance, self.at, message=OUT_OF_CREDIT)

    # accounts

    def make_account(self, email: str = "") -> VastAccount:
        """Return a new account without credit."""
        number = next(self._user_numbers)
        made = VastAccount(id=number, email=email or f"user{number}@sandbox.example")
        self.accounts.append(made)
        return made

    def find_account(self, name: str) -> VastAccount | None:
        """Return the account with that e-mail address or id."""
        return next((found for found in self.accounts if name in (found.email, str(found.id))), None)

    def add_credit(self, account: VastAccount, micros: int) -> CardPayment:
        """Pay by card; what was stopped stays stopped."""
        made = CardPayment(next(self._invoice_numbers), self.at, micros)
        account.payments.append(made)
        if account.compute_credit(self.at) > 0:
            account.out_since = account.delete_at = None
        return made

    def add_key(self, account: VastAccount, line: str) -> SshKey:
        """Return the account's key with that line, added if it is new; new instances let it in."""
        known = find_key(account.keys.values(), line)
        if known is None:
            known = SshKey(next(self._key_numbers), line, self.at)
            account.keys[known.id] = known
        return known

    async def attach_key(self, account: VastAccount, instance: VastInstance, line: str) -> SshKey:
        """Let a key into an instance, at once if it runs."""
        key = find_key(account.keys.values(), line) or SshKey(next(self._key_numbers), line, self.at)
        instance.keys[key.id] = key
        if instance.sandbox_machine is not None:
            await self._context.machines.add_authorized_key(instance.sandbox_machine.id, line)
        return key

    # instances

    def create_instance(
        self, account: VastAccount, machine: MarketMachine, wish: InstanceWish
    ) -> VastInstance:
        """Create an instance; if its GPUs are taken it waits for them. Raises `VastRefusal`.

        A bid that is too low is refused, and leaves a stopped instance that bills storage.
        """
        made = VastInstance(
            id=next(self._instance_numbers),
            account_id=account.id,
            machine=machine,
            wish=wish,
            gpu_price=machine.price if wish.price is None else wish.price,
            created_at=self.at,
            label=wish.label,
            keys=dict(account.keys),
        )
        account.instances.append(made)
        made.start_meter(DISK, self.at)
        if made.is_bid and made.gpu_price < machine.min_bid:
            made.is_leftover = True
            made.set_status("stopped", self.at, "bid too low")
            msg = f"The bid is below the minimum of ask {machine.offer_id}."
            raise VastRefusal(400, "bid_too_low", msg, ask_id=machine.offer_id, new_contract=made.id)
        if wish.is_started:
            self.life.start(made, self.at)
        else:
            made.set_status("stopped", self.at)
        return made

    # levers: what others do

    def find_machine(self, machine_id: int) -> MarketMachine:
        """Return the machine with that id. Raises ``UsageError``."""
        for machine in self.machines.values():
            if machine.machine_id == machine_id:
                return machine
        raise UsageError(f"no machine {machine_id}")

    def rent_by_others(self, machine_id: int) -> None:
        """Let somebody else rent the machine. Raises ``UsageError`` if it is not free."""
        machine = self.find_machine(machine_id)
        if machine.renter is not None:
            raise UsageError(f"machine {machine_id} is rented")
        machine.renter = OTHERS

    def free_by_others(self, machine_id: int) -> None:
        """Let somebody else give the machine back; what waits for it starts."""
        machine = self.find_machine(machine_id)
        if machine.renter == OTHERS:
            self.life.free_gpus(machine, self.at)

    async def set_price(self, machine_id: int, micros: int, *, also_rented: bool = False) -> None:
        """Set what all GPUs of a machine cost, in micro-USD per hour.

        ``also_rented``: for the instances that are there too. Bids that are too low by then are paused.
        """
        machine = self.find_machine(machine_id)
        machine.price = micros
        for instance in self.iter_instances():
            if also_rented and instance.machine is machine and not instance.is_bid:
                instance.change_gpu_price(micros, self.at)
        await self.life.check_bids(machine, self.at)

    async def set_offline(self, machine_id: int, offline: bool) -> None:
        """Take a host off the network, or bring it back."""
        await self.life.set_offline(self.find_machine(machine_id), offline, self.at)

    async def end_container(self, instance: VastInstance) -> None:
        """Let the container end by itself."""
        await self.life.power_off(instance, self.at, "exited")

    def add_traffic(self, instance: VastInstance, *, sent: int = 0, received: int = 0) -> None:
        """Charge for that many bytes."""
        site = instance.machine.site
        for kind, size, price in (("bwu", sent, site.inet_up), ("bwd", received, site.inet_down)):
            if amount := int(Fraction(size * price, GIGABYTE)):
                instance.traffic.append(Traffic(kind, self.at, amount))


def _draw_number() -> int:
    return LEAST_NUMBER + secrets.randbelow(MOST_NUMBER - LEAST_NUMBER)
