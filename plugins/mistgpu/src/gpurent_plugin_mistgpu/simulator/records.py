"""What the simulated MISTGPU keeps: machines, servers and their runs, accounts, payments. No HTTP, no clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import define, field

from gpurent.api import SandboxMachine

MINUTE = timedelta(minutes=1)
KEPT = timedelta(days=15)


@define
class RentalMachine:
    """A rentable machine: ``price`` in fen an hour; ``user`` is who has it now."""

    id: str
    model: str
    price: int
    user: str = ""


@define
class ServerRun:
    """One stretch of a server being on: ``minutes`` begun so far, ``paid`` fen for them."""

    started_at: datetime
    price: int
    minutes: int = 0
    paid: int = 0
    ended_at: datetime | None = None

    def next_minute(self) -> datetime:
        return self.started_at + self.minutes * MINUTE

    def next_cost(self) -> int:
        return self.price * (self.minutes + 1) // 60 - self.price * self.minutes // 60


@define
class RentedServer:
    """A user's server on a machine; its disk is ``data``."""

    id: str
    user: str
    machine: RentalMachine
    data: str
    runs: list[ServerRun] = field(factory=list)
    live: SandboxMachine | None = None
    note: str = ""

    @property
    def running(self) -> bool:
        return bool(self.runs) and self.runs[-1].ended_at is None

    @property
    def kept_until(self) -> datetime | None:
        ended = self.runs[-1].ended_at if self.runs else None
        return ended + KEPT if ended else None


@define
class InvoiceRequest:
    """One request; ``fen`` of what was spent."""

    number: str
    title: str
    fen: int


@define
class SiteAccount:
    """Balance in fen; ``spent`` in all."""

    name: str
    password: str
    balance: int = 0
    spent: int = 0
    invoices: list[InvoiceRequest] = field(factory=list)


@define
class Recharge:
    """One payment page of Alipay."""

    id: str
    account: str
    amount: int
    settled_at: datetime | None = None

    @property
    def settled(self) -> bool:
        return self.settled_at is not None
