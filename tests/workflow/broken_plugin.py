"""A plugin with mistakes: its provider and its account raise foreign exceptions, and its tools cannot be built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpurent.api import (
    Balance,
    Bill,
    BillingEntry,
    BillingProvider,
    Charge,
    Currency,
    Known,
    Lease,
    LeaseEntry,
    LeaseProvider,
    LeaseState,
    MachineProfile,
    Money,
    MoneyInstructions,
    Offer,
    Order,
    Payment,
    PluginContext,
    Rate,
    Requirements,
    SessionEntry,
    TransferEntry,
    Unknown,
    hookimpl,
)

PROVIDER = "broken"
BEST_RANK = 1000


class BrokenProvider(LeaseProvider):
    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        raise KeyError("no such column")

    async def reserve_lease(self, order: Order) -> Lease:
        raise KeyError("no such column")

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        raise KeyError("no such column")

    async def refresh_lease(self, lease: Lease) -> Lease:
        return None  # type: ignore[return-value]

    async def release_lease(self, lease: Lease) -> Lease:
        return lease.with_state(LeaseState.RELEASED)

    async def list_leases(self) -> Known[Lease] | Unknown:
        raise KeyError("no such column")


class BrokenAccount(BillingProvider):
    async def get_balance(self) -> Balance:
        raise ZeroDivisionError

    async def get_rate(self, quote: Currency) -> Rate:
        raise ZeroDivisionError

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        raise ZeroDivisionError

    async def pay_bill(self, bill: Bill) -> Payment:
        raise ZeroDivisionError

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        raise ZeroDivisionError


def _fail(context: PluginContext) -> Any:
    raise ImportError("no module named 'fast_copy'")


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    profile = MachineProfile(user="root", python="python3")
    return [
        LeaseEntry(
            name=PROVIDER,
            summary="broken",
            build=lambda _context: BrokenProvider(),
            billing=PROVIDER,
            profile=profile,
        )
    ]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [
        BillingEntry(name=PROVIDER, summary="broken", build=lambda _context: BrokenAccount(), currency="CNY")
    ]


@hookimpl
def gpurent_register_transfer() -> Sequence[TransferEntry]:
    return [TransferEntry(name="broken-copy", summary="broken", build=_fail, rank=BEST_RANK)]


@hookimpl
def gpurent_register_session() -> Sequence[SessionEntry]:
    return [SessionEntry(name="broken-session", summary="broken", build=_fail, rank=BEST_RANK)]


def install(site_packages: Path) -> None:
    """Install this module as a distribution in ``site_packages``."""
    info = site_packages / "gpurent_plugin_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpurent-plugin-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gpurent]\nbroken = {__name__}\n")
