"""The simulator's accounts and machines, and what they cost: exact, however rarely it is asked."""

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

from attrs import define, field, frozen
from gpurent.api import SandboxMachine

MINUTE = timedelta(minutes=1)


@frozen
class Offer:
    """One row of the price list; its fields are named as the service names them."""

    id: str
    gpu: str
    gpus: int
    vram_mb: int
    vcpus: int
    ram_mb: int
    disk_gb: int
    region: str
    cents_per_hour: int


@define(kw_only=True)
class Machine:
    """A machine that is billed until ``gone_at``. ``minutes`` have begun and are not charged yet."""

    # gpurent's books outlive a sandbox: in another one nothing may have the same reference.
    id: str = field(factory=lambda: f"m-{secrets.token_hex(6)}")
    label: str
    offer: Offer
    created_at: datetime
    next_minute: datetime
    minutes: int = 0
    charged: int = 0
    gone_at: datetime | None = None
    booted: SandboxMachine | None = None

    @property
    def owed(self) -> int:
        return -(-self.minutes * self.offer.cents_per_hour // 60)

    @property
    def due_at(self) -> datetime:
        """When the next thing happens to the books: a minute begins, or the machine is gone."""
        return self.next_minute if self.gone_at is None else min(self.next_minute, self.gone_at)


@frozen(kw_only=True)
class Entry:
    """A charge of the service. ``cents`` are signed here: negative leaves the account."""

    id: str = field(factory=lambda: f"c-{secrets.token_hex(6)}")
    kind: str
    machine_id: str | None
    cents: int
    at: datetime


@define
class Account:
    """``balance`` is the sum of ``entries``; ``gone`` are the machines that were deleted."""

    email: str = field(factory=lambda: f"user-{secrets.token_hex(4)}@tern.example")
    balance: int = 0
    entries: list[Entry] = field(factory=list)
    keys: dict[str, str] = field(factory=dict)
    machines: list[Machine] = field(factory=list)
    gone: list[Machine] = field(factory=list)

    @property
    def credit(self) -> int:
        """The balance without what the begun minutes will cost."""
        return self.balance - sum(machine.owed for machine in self.machines)

    def add(self, kind: str, cents: int, at: datetime, machine_id: str | None = None) -> None:
        self.entries.append(Entry(kind=kind, machine_id=machine_id, cents=cents, at=at))
        self.balance += cents

    def catch_up(self, now: datetime) -> Iterator[Machine]:
        """Charge what is due, in the order of time; yield each machine that is gone now."""
        while due := [machine for machine in self.machines if machine.due_at <= now]:
            machine = min(due, key=lambda one: one.due_at)
            if machine.due_at == machine.gone_at:
                self._charge(machine)
                self.machines.remove(machine)
                self.gone.append(machine)
                yield machine
            else:
                self._begin_minute(machine)

    def _begin_minute(self, machine: Machine) -> None:
        at = machine.next_minute
        if machine.minutes == 60:
            self._charge(machine)
        machine.minutes += 1
        if self.credit >= 0:
            machine.next_minute += MINUTE
            return
        machine.minutes -= 1
        for one in self.machines:
            one.gone_at = at

    def _charge(self, machine: Machine) -> None:
        if machine.owed:
            self.add("usage", -machine.owed, machine.due_at, machine.id)
            machine.charged += machine.owed
            machine.minutes = 0
