"""The rows of the table. Every colour comes with a word or a mark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from rich.text import Text

from gpurent.cli.views.render import format_moment
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Prepaid
from gpurent.domain.time_left import sum_prices
from gpurent.locale import N_, _, join_list, ngettext
from gpurent.locale.durations import format_duration
from gpurent.terminal_text import strip_to_line
from gpurent.workflow.reports.overview import LeaseRow
from gpurent.workflow.timing.time_left import format_time_left

MONEY_WIDTH = 12
DETAIL_HEIGHT = 8  # lines below the table
# Key, heading, width in columns: 79 in total, including the gaps.
COLUMNS = (
    ("lease", N_("lease"), 16),
    ("state", N_("state"), 11),
    ("left", N_("time left"), 11),
    ("burn", N_("burn rate"), MONEY_WIDTH),
    ("spent", N_("spent"), MONEY_WIDTH),
    ("gpu", "GPU", 4),
)
_STATE_COLOURS = {"ready": "green", "failed": "red", "gone": "red", "provisioning": "cyan"}
_FOREVER = timedelta.max

SORT_ORDERS: tuple[tuple[str, Callable[[LeaseRow], object]], ...] = (
    (N_("age"), lambda row: 0),
    (N_("time left"), lambda row: _FOREVER if row.time_left.left is None else row.time_left.left),
    (N_("spent"), lambda row: tuple(-money.decimal for money in row.spent)),
    (N_("state"), lambda row: row.lease.state.value),
)


def format_cells(row: LeaseRow, now: datetime) -> dict[str, Text]:
    """Return one text for each column, cut to its width."""
    spent = " ".join(_format_amount(money.decimal, money.currency.code) for money in row.spent)
    load = row.sample.load
    made = {
        "lease": _make_text(row.lease.id),
        "state": _format_state(row, now),
        "left": _make_text(f"! {format_time_left(row.time_left)}", "bold yellow")
        if row.is_low
        else _make_text(format_time_left(row.time_left)),
        "burn": _make_text(_format_burn(row.lease)),
        "spent": _make_text(spent or "-"),
        "gpu": _make_text("-" if load is None else f"{load}%"),
    }
    for key, _heading, width in COLUMNS:
        made[key].truncate(width, overflow="ellipsis")
    return made


def _format_burn(lease: Lease) -> str:
    price = lease.current_price
    if lease.is_over:
        return "-"
    return _format_amount(price.value, str(price).partition(" ")[2]) if price.is_known else str(price)


def _format_amount(value: Decimal, unit: str) -> str:
    """Format with as many decimals as fit; the exact amount is shown below the table."""
    texts = [f"{value.normalize():f} {unit}", *(f"{value:.{places}f} {unit}" for places in (3, 2, 1, 0))]
    return next((text for text in texts if len(text) <= MONEY_WIDTH), texts[-1])


def _format_state(row: LeaseRow, now: datetime) -> Text:
    """Return the state, or for a stale row how long it has been stale."""
    if not row.problem:
        state = row.lease.state
        return _make_text(row.lease.state_title, _STATE_COLOURS.get(state.value, ""))
    age = format_duration(now - row.stale_since).partition(" ") if row.stale_since else None
    if age is None:
        return _make_text(_("no answer"), "dim italic")
    number, _space, rest = age
    return _make_text(_("stale {span}").format(span=f"{number} {rest.split()[0]}"), "dim italic")


def format_summary(rows: Sequence[LeaseRow], now: datetime) -> str:
    """Return the top line: number of leases, total burn rate, current time."""
    running = [row.lease.current_price for row in rows if not row.lease.is_over]
    prices = [price for price in running if price.is_known]
    codes = dict.fromkeys(price.currency for price in prices)
    burns = [str(sum_prices([price for price in prices if price.currency == code])) for code in codes]
    if len(prices) < len(running):
        burns.append(_("unknown"))
    stale = sum(bool(row.problem) for row in rows)
    parts = [ngettext("{count} lease", "{count} leases", len(rows)).format(count=len(rows)), *burns]
    if stale:
        parts.append(_("{count} stale").format(count=stale))
    return "  ·  ".join([*parts, format_moment(now)])


def format_detail(row: LeaseRow) -> Text:
    lease = row.lease
    hardware = lease.offer.hardware
    parts = (
        lease.id,
        lease.state_title,
        f"{max(1, hardware.gpus)} x {hardware.gpu}" if hardware.gpu else "CPU",
        str(lease.endpoint or "-"),
        format_time_left(row.time_left),
    )
    lines = [_make_text("  ".join(parts), "bold")]
    if row.spent:
        spent = join_list(str(money) for money in row.spent)
        lines.append(
            _make_text(
                _("spent {spent} according to the ledger, at {price}").format(
                    spent=spent, price=lease.current_price
                )
            )
        )
    if row.problem:
        since = _("stale since {at}: {why}").format(at=format_moment(row.stale_since), why=row.problem)
        lines.append(_make_text(since, "yellow"))
    elif lease.note or row.time_left.note:
        lines.append(_make_text(lease.note or row.time_left.note, "dim"))
    room = DETAIL_HEIGHT - len(lines)
    lines += [_make_text(line) for line in row.sample.lines[-room:]]
    return Text("\n").join(lines)


def _make_text(text: str, style: str = "") -> Text:
    """Return one line of ``text``, without what the terminal obeys."""
    return Text(strip_to_line(text), style)


def release_question(lease: Lease, now: datetime) -> str:
    lines = [_("Release {lease} now?").format(lease=lease.id)]
    tariff = lease.offer.tariff
    if isinstance(tariff, Prepaid) and lease.expires_at is not None:
        rest = max(timedelta(), lease.expires_at - now)
        worth = tariff.price.cost(rest, round_up=False)
        text = (
            _("{span} of paid time is unused; about {worth} will be refunded.")
            if tariff.refundable
            else _("{span} of paid time is unused and will be lost (about {worth}).")
        )
        lines.append(text.format(span=format_duration(rest), worth=worth))
    elif not isinstance(tariff, Prepaid):
        lines.append(_("This ends the cost of {price}.").format(price=tariff.price))
    if lease.offer.deposit is not None:
        deposit = lease.offer.deposit
        lines.append(
            _("The deposit of {money} is returned: {when}.").format(
                money=deposit.money, when=deposit.returned_on
            )
        )
    lines.append(_("Its sessions end, and files that you have not downloaded may be lost."))
    return "\n".join(lines)
