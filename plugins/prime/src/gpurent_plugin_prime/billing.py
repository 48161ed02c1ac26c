"""The wallet in USD: charged while a pod runs. Its rows of billing are the statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta

from attrs import evolve

from gpurent.api import (
    Balance,
    Charge,
    ChargeKind,
    Known,
    Lease,
    MeteredBilling,
    Money,
    MoneyInstructions,
    PluginContext,
    SupportsStatement,
    SupportsVolumeCharges,
    Unknown,
    Volume,
)
from gpurent_plugin_prime import _, wire

PAID_IN = "paid-in"
GROWS_FOR = timedelta(hours=1)  # how often a row is added to is not documented
Resource = tuple[str, str]  # kind and id


class PrimeBilling(MeteredBilling, SupportsStatement, SupportsVolumeCharges):
    """Billing for Prime Intellect. Makes no payments: the service charges the wallet while a pod exists."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context.clock, wire.SERVICE, wire.USD)
        self._context = context
        self._api = wire.make_api(context)

    async def get_balance(self) -> Balance:
        reply = await self._api.call_checked("GET", wire.WALLET_PATH, params={"limit": "1"})
        left = reply.get_money(reply.body, "balance_usd", wire.USD)
        return Balance(available=left, at=self._context.clock.now())

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        account, page = (await self._context.get_login()).account, self._context.settings["billing_page"]
        advice = _("What becomes of pods when the wallet is empty is not documented: top up in time.")
        return self.make_top_up(page, account, money, advice)

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        if not lease.ref:
            return Known(())
        rows, _balance = await self._read_wallet()
        found = [charge for resource, charge in rows if resource == ("compute", lease.ref)]
        if not found and lease.started_at is not None:
            return Unknown(_("the wallet does not show this pod yet"))
        # A pod's row is added to as long as the pod exists.
        grown = [evolve(charge, growing=not lease.is_over) for charge in found if charge.money.amount]
        return Known(tuple(grown))

    async def list_volume_charges(self, volume: Volume) -> Known[Charge] | Unknown:
        # What the wallet calls a disk is not documented; its id is no other resource's.
        rows, _balance = await self._read_wallet()
        found = [charge for (_kind, ref), charge in rows if ref == volume.ref and charge.money.amount]
        return Known(tuple(evolve(charge, growing=not volume.is_over) for charge in found))

    async def get_statement(self) -> Known[Charge] | Unknown:
        """Return the rows, and as one amount the money that came in, of which the wallet lists nothing."""
        rows, balance = await self._read_wallet()
        recent = self._context.clock.now() - GROWS_FOR
        charges = [evolve(x, growing=x.at > recent) for _resource, x in rows if x.money.amount]
        used = sum(x.money.amount if x.kind is ChargeKind.USAGE else -x.money.amount for x in charges)
        came = balance.amount + used
        if came <= 0:
            return Known(tuple(charges))
        first = min((charge.at for charge in charges), default=self._context.clock.now())
        note, total = _("computed: what is left, and all charges"), Money(came, wire.USD)
        paid = Charge(at=first, kind=ChargeKind.TOP_UP, money=total, ref=PAID_IN, note=note, growing=True)
        return Known((paid, *charges))

    async def _read_wallet(self) -> tuple[Sequence[tuple[Resource, Charge]], Money]:
        """Return the rows, each with what it is for, oldest first, and the balance of their time."""
        found: dict[str, tuple[Resource, Charge]] = {}
        balance = wire.USD.zero
        async for reply, row in self._api.read_rows(wire.WALLET_PATH, wire.BILLINGS):
            balance = reply.get_money(reply.body, "balance_usd", wire.USD)
            charge = _parse_charge(reply, row)
            # A row may move to the next page while the list is read.
            found[charge.ref] = ((charge.note, reply.get_text(row, "resource_id")), charge)
        if not found:
            balance = (await self.get_balance()).available
        return sorted(found.values(), key=lambda item: item[1].at), balance


def _parse_charge(reply: wire.PrimeReply, row: wire.Row) -> Charge:
    at = reply.get_iso_time(row, "last_billed_at", UTC) or reply.get_iso_time(row, "created_at", UTC)
    if at is None:
        raise reply.make_unexpected_response(_("a charge without its time"))
    money = reply.get_money(row, "amount_usd", wire.USD)
    kind = ChargeKind.USAGE if money.amount >= 0 else ChargeKind.REFUND
    text = reply.get_text(row, "resource_type")
    return Charge(at=at, kind=kind, money=max(money, -money), ref=reply.get_id(row), note=text)
