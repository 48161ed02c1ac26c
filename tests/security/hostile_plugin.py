"""A plugin through which a service says what attacks a terminal, in every text that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import click
from attrs import evolve

from gpurent.api import (
    CNY,
    Authenticator,
    AuthEntry,
    Balance,
    Bill,
    BillingEntry,
    BillingProvider,
    Charge,
    ChargeKind,
    Currency,
    Deposit,
    Hardware,
    Known,
    Lease,
    LeaseEntry,
    LeaseError,
    LeaseProvider,
    LeaseState,
    Login,
    MachineProfile,
    Metered,
    Money,
    MoneyError,
    MoneyInstructions,
    Offer,
    Order,
    Payment,
    Rate,
    Requirements,
    Secret,
    SupportsStatement,
    SupportsWithdrawal,
    UnexpectedResponse,
    UnitPrice,
    Unknown,
    hookimpl,
)
from gpurent.roles.entries import CommandEntry
from tests.security.canaries import HOSTILE

PROVIDER = "hostile"


def make_offer() -> Offer:
    return Offer(
        provider=PROVIDER,
        key=f"m1{HOSTILE}",
        hardware=Hardware(gpu=f"GPU{HOSTILE}", gpus=1),
        tariff=Metered(price=UnitPrice(Decimal(3), CNY)),
        deposit=Deposit(money=Money(100, CNY), returned_on=HOSTILE),
        location=HOSTILE,
        score=HOSTILE,
        note=HOSTILE,
    )


def make_lease() -> Lease:
    return Lease(
        id="hostile-1",
        provider=PROVIDER,
        offer=make_offer(),
        state=LeaseState.READY,
        ref=f"r{HOSTILE}",
        label=HOSTILE,
        note=HOSTILE,
        account=HOSTILE,
        started_at=datetime.now(UTC) - timedelta(hours=1),
    )


class HostileLogin(Authenticator):
    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        return Login(account=HOSTILE, token=Secret("token"))

    async def is_valid(self, login: Login) -> bool:
        return True


class HostileProvider(LeaseProvider):
    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known((make_offer(),))

    async def reserve_lease(self, order: Order) -> Lease:
        raise LeaseError(f"refused: {HOSTILE}", hint=f"why: {HOSTILE.strip()}", detail=HOSTILE)

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        raise LeaseError(HOSTILE)

    async def refresh_lease(self, lease: Lease) -> Lease:
        return evolve(lease, note=f"seen {HOSTILE}")

    async def release_lease(self, lease: Lease) -> Lease:
        raise LeaseError(HOSTILE, hint=f"why: {HOSTILE}")

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Known((evolve(make_lease(), id="", ref=f"other{HOSTILE}"),))


class HostileAccount(BillingProvider, SupportsStatement, SupportsWithdrawal):
    async def get_balance(self) -> Balance:
        return Balance(available=Money(100, CNY), at=datetime.now(UTC))

    async def get_rate(self, quote: Currency) -> Rate:
        raise MoneyError(HOSTILE, hint=HOSTILE)

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        return MoneyInstructions(
            steps=(HOSTILE, HOSTILE), url=f"https://{HOSTILE}", qr=HOSTILE, advice=HOSTILE
        )

    async def withdraw(self, money: Money) -> MoneyInstructions:
        raise UnexpectedResponse(HOSTILE, url=f"https://api.example/{HOSTILE}", body=HOSTILE)

    async def pay_bill(self, bill: Bill) -> Payment:
        raise MoneyError(HOSTILE)

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        return Known((self._charge(f"c{HOSTILE}"),))

    async def get_statement(self) -> Known[Charge] | Unknown:
        return Known((self._charge(f"c{HOSTILE}"), self._charge(f"d{HOSTILE}")))

    def _charge(self, ref: str) -> Charge:
        return Charge(at=datetime.now(UTC), kind=ChargeKind.USAGE, money=Money(7, CNY), ref=ref, note=HOSTILE)


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    return [
        LeaseEntry(
            name=PROVIDER,
            summary=f"rents {HOSTILE}",
            build=lambda _context: HostileProvider(),
            auth=PROVIDER,
            billing=PROVIDER,
            profile=MachineProfile(user="root"),
            overview={"machines": HOSTILE, "price": HOSTILE},
            live_notes=HOSTILE,
        )
    ]


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    return [AuthEntry(name=PROVIDER, summary=HOSTILE, build=lambda _context: HostileLogin())]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(name=PROVIDER, summary=HOSTILE, build=lambda _context: HostileAccount(), currency="CNY")
    ]


@hookimpl
def gpurent_register_command() -> Sequence[CommandEntry]:
    @click.command("hostile", help=f"Does {HOSTILE}", epilog=HOSTILE)
    @click.option("--way", help=HOSTILE, metavar=HOSTILE, type=click.Choice(["a"]))
    def command(way: str) -> None:
        raise ValueError(HOSTILE)

    return [
        CommandEntry(
            name="hostile", summary=f"does {HOSTILE}", group=f"Theirs{HOSTILE}", build=lambda: command
        )
    ]


def install(folder: Path) -> None:
    """Install this module, as a package of its own, and one that cannot be imported, as plugins in ``folder``."""
    package = folder / "hostile_service"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(Path(__file__).read_text("utf-8"), "utf-8")
    (folder / "unreadable_plugin.py").write_text(
        "from tests.security.canaries import HOSTILE\nraise ValueError(HOSTILE)\n"
    )
    for name, module in (("hostile", "hostile_service.plugin"), ("unreadable", "unreadable_plugin")):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[gpurent]\n{name} = {module}\n")
