"""Rows as the screen shows them. Every colour has a word or a mark beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from rich.text import Text

from gpurent.cli.views.render import STATES, moment
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Prepaid
from gpurent.domain.terminal_text import strip_terminal
from gpurent.domain.time_left import burn_of
from gpurent.locale import N_, _
from gpurent.locale.spans import span_text
from gpurent.workflow.reports.overview import LeaseRow
from gpurent.workflow.timing.time_left import words

MONEY = 12
DETAIL = 8  # lines below the table
# Key, heading, columns of a terminal: together, with their gaps, 79.
COLUMNS = (
    ("lease", N_("lease"), 16),
    ("state", N_("state"), 11),
    ("left", N_("time left"), 11),
    ("burn", N_("burn rate"), MONEY),
    ("spent", N_("spent"), MONEY),
    ("gpu", "GPU", 4),
)
_COLOURS = {"ready": "green", "failed": "red", "gone": "red", "provisioning": "cyan"}
_FOREVER = timedelta.max

ORDERS: tuple[tuple[str, Callable[[LeaseRow], object]], ...] = (
    (N_("age"), lambda row: 0),
    (N_("time left"), lambda row: _FOREVER if row.left.left is None else row.left.left),
    (N_("spent"), lambda row: tuple(-money.decimal for money in row.spent)),
    (N_("state"), lambda row: row.lease.state.value),
)


def cells(row: LeaseRow, now: datetime) -> dict[str, Text]:
    """One text a column, cut to its width."""
    price = row.lease.offer.tariff.price
    spent = " ".join(_short(money.decimal, money.currency.code) for money in row.spent)
    load = row.sample.load
    made = {
        "lease": Text(row.lease.id),
        "state": _state(row, now),
        "left": Text(f"! {words(row.left)}", "bold yellow") if row.low else Text(words(row.left)),
        "burn": Text("-" if row.lease.over else _short(price.value, str(price).partition(" ")[2])),
        "spent": Text(spent or "-"),
        "gpu": Text("-" if load is None else f"{load}%"),
    }
    for key, _heading, width in COLUMNS:
        made[key].truncate(width, overflow="ellipsis")
    return made


def _short(value: Decimal, unit: str) -> str:
    """With as many decimals as there is room for; the exact amount stands below the table."""
    texts = [f"{value.normalize():f} {unit}", *(f"{value:.{places}f} {unit}" for places in (3, 2, 1, 0))]
    return next((text for text in texts if len(text) <= MONEY), texts[-1])


def _state(row: LeaseRow, now: datetime) -> Text:
    """The state; of a row that is not fresh, for how long it is not."""
    if not row.problem:
        state = row.lease.state.value
        return Text(_(STATES[state]), _COLOURS.get(state, ""))
    age = span_text(now - row.since).partition(" ") if row.since else None
    if age is None:
        return Text(_("no answer"), "dim italic")
    number, _space, rest = age
    return Text(_("stale {span}").format(span=f"{number} {rest.split()[0]}"), "dim italic")


def summary(rows: Sequence[LeaseRow], now: datetime) -> str:
    """The line on top: how many, what they burn together, what time it is."""
    prices = [row.lease.offer.tariff.price for row in rows if not row.lease.over]
    codes = dict.fromkeys(price.currency for price in prices)
    burns = [str(burn_of([price for price in prices if price.currency == code])) for code in codes]
    stale = sum(bool(row.problem) for row in rows)
    parts = [_("{count} leases").format(count=len(rows)), *burns]
    if stale:
        parts.append(_("{count} stale").format(count=stale))
    return "  ·  ".join([*parts, moment(now)])


def detail(row: LeaseRow) -> Text:
    lease = row.lease
    hardware = lease.offer.hardware
    parts = (
        lease.id,
        _(STATES[lease.state.value]),
        f"{max(1, hardware.gpus)} x {hardware.gpu}" if hardware.gpu else "CPU",
        str(lease.endpoint or "-"),
        words(row.left),
    )
    lines = [Text("  ".join(parts), "bold")]
    if row.spent:
        spent = ", ".join(str(money) for money in row.spent)
        lines.append(
            Text(
                _("spent {spent} by the books, at {price}").format(
                    spent=spent, price=lease.offer.tariff.price
                )
            )
        )
    if row.problem:
        since = _("stale since {at}: {why}").format(at=moment(row.since), why=_safe(row.problem))
        lines.append(Text(since, "yellow"))
    elif lease.note or row.left.note:
        lines.append(Text(_safe(lease.note or row.left.note), "dim"))
    room = DETAIL - len(lines)
    lines += [Text(_safe(line)) for line in row.sample.lines[-room:]]
    return Text("\n").join(lines)


def _safe(text: str) -> str:
    return " ".join(strip_terminal(text).split("\n"))


def release_question(lease: Lease, now: datetime) -> str:
    lines = [_("Give {lease} back now?").format(lease=lease.id)]
    tariff = lease.offer.tariff
    if isinstance(tariff, Prepaid) and lease.expires_at is not None:
        rest = max(timedelta(), lease.expires_at - now)
        worth = tariff.price.cost(rest, up=False)
        text = (
            _("{span} are paid and not used; about {worth} come back.")
            if tariff.refundable
            else _("{span} are paid and not used; they are lost (about {worth}).")
        )
        lines.append(text.format(span=span_text(rest), worth=worth))
    elif not isinstance(tariff, Prepaid):
        lines.append(_("It stops costing {price}.").format(price=tariff.price))
    if lease.offer.deposit is not None:
        deposit = lease.offer.deposit
        lines.append(
            _("The deposit of {money} comes back: {when}.").format(
                money=deposit.money, when=deposit.returned_on
            )
        )
    lines.append(_("Its sessions end, and files that you have not pulled may be lost."))
    return "\n".join(lines)
