"""MISTGPU's pages <-> the model. Pure.

Known from a public client of 2020: the sign-in form, and the machine list's radios (``disabled`` = taken). The columns
of the server list are known from the operator's own pictures of 2020 and 2022. All other forms and marks are assumed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from attrs import frozen

from gpurent.api import (
    CNY,
    Endpoint,
    Hardware,
    Metered,
    Money,
    Offer,
    UnexpectedResponse,
    UnitPrice,
    UsageError,
)
from gpurent_plugin_mistgpu.html import Node, read
from gpurent_plugin_mistgpu.messages import _

RUNNING, SHORT, SHUT = "正在运行", "短租中", "已关机"
_PRICE = re.compile(r"(\d{1,4}(?:\.\d{1,4})?)\s*元/(?:小?时)")
_GPU = re.compile(r"(?:(\d{1,2})\s*[x×]\s*)?(.+)")


@frozen(kw_only=True)
class Server:
    """One row of the server list. ``kept_until`` is there when it is shut."""

    id: str
    machine: str
    gpu: str
    endpoint: Endpoint | None
    running: bool
    started_at: datetime | None
    stopped_at: datetime | None
    kept_until: datetime | None
    note: str


@frozen(kw_only=True)
class Run:
    """One line of the bill page: a server's run, what it cost so far."""

    server: str
    started_at: datetime
    ended_at: datetime | None
    minutes: int
    cost: Money


@frozen(kw_only=True)
class Paid:
    """One payment into the account."""

    id: str
    at: datetime
    money: Money


def _changed(what: str, url: str, page: str) -> UnexpectedResponse:
    return UnexpectedResponse(
        _("MISTGPU's page {url} has changed: {what}").format(url=url, what=what), url=url, body=page
    )


def offers(page: str, url: str) -> Sequence[Offer]:
    """The machines of ``/create/``: a ``.card.form-check`` with a radio each; ``disabled`` means taken."""
    tree = read(page)
    found: list[Offer] = []
    for card in tree.all("", "card", "form-check"):
        radio = card.first("input", "form-check-input")
        if radio is None or not re.fullmatch(r"[0-9A-Za-z]{1,12}", radio.attrs.get("value", "")):
            raise _changed(_("a machine without its number"), url, page)
        price = _PRICE.search(card.text)
        model = card.first("", "card-title")
        named = _GPU.fullmatch(model.text) if model is not None else None
        if price is None or named is None:
            raise _changed(_("a machine without a price or a name"), url, page)
        found.append(
            Offer(
                key=radio.attrs["value"],
                provider="mistgpu",
                hardware=Hardware(gpu=named[2], gpus=int(named[1] or 1)),
                tariff=Metered(price=UnitPrice(Decimal(price[1]), CNY)),
                free="disabled" not in radio.attrs,
            )
        )
    if not found:
        raise _changed(_("no machine is on it"), url, page)
    return found


def is_login(page: str) -> bool:
    """Whether ``page`` asks to sign in."""
    form = read(page).first("form", action="/login/")
    return form is not None and form.first("input", name="password") is not None


def complaint(page: str) -> str:
    """What the page complains about; empty if nothing."""
    alert = read(page).first("", "alert-danger")
    return alert.text[:200] if alert is not None else ""


def servers(page: str, url: str) -> Sequence[Server]:
    """The rows of ``/user/``; the page must be whole, since a row that is missing means that a server is gone."""
    table = read(page).first("table", id="servers")
    if table is None or "</table>" not in page or "</html>" not in page:
        raise _changed(_("the server list is not whole"), url, page)
    return [_server(row, url, page) for row in table.all("tr") if row.first("td") is not None]


def _server(row: Node, url: str, page: str) -> Server:
    cells = [cell.text for cell in row.all("td")]
    server = row.first("input", name="server_id")
    state = next((cell for cell in cells if cell.startswith((RUNNING, SHORT, SHUT))), "")
    if len(cells) < 5 or server is None or not state:
        raise _changed(_("a server without its columns"), url, page)
    running = not state.startswith(SHUT)
    return Server(
        id=server.attrs.get("value", ""),
        machine=cells[0],
        gpu=cells[1],
        endpoint=_endpoint(cells[2], url, page) if running else None,
        running=running,
        started_at=_time(row, "data-started"),
        stopped_at=_time(row, "data-stopped"),
        kept_until=_time(row, "data-kept"),
        note=state,
    )


def _endpoint(text: str, url: str, page: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except UsageError:
        raise _changed(_("the SSH command is unknown"), url, page) from None


def _time(row: Node, name: str) -> datetime | None:
    text = row.attrs.get(name, "")
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _money(text: str) -> Money | None:
    match = re.search(r"(\d{1,9}\.\d{2})\s*元", text)
    try:
        return CNY.money(match[1]) if match else None
    except InvalidOperation:
        return None


def balance(page: str, url: str) -> tuple[Money, Money]:
    """``(balance, spent in all)`` from ``/user/``."""
    tree = read(page)
    left, spent = tree.first("", id="balance"), tree.first("", id="spent")
    found = _money(left.text) if left is not None else None
    if found is None:
        raise _changed(_("no balance is on it"), url, page)
    return found, (_money(spent.text) if spent is not None else None) or CNY.zero


def invoices(page: str, url: str) -> Sequence[tuple[str, Money]]:
    """Number and amount of each invoice that was asked for, from ``/user/invoice/``."""
    table = read(page).first("table", id="invoices")
    if table is None or "</table>" not in page:
        raise _changed(_("the list of invoices is not whole"), url, page)
    found = []
    for row in table.all("tr"):
        cells = [cell.text for cell in row.all("td")]
        if not cells:
            continue
        money = _money(cells[-1])
        if len(cells) < 3 or not cells[0] or money is None:
            raise _changed(_("an invoice without its columns"), url, page)
        found.append((cells[0], money))
    return found


def runs(page: str, url: str) -> Sequence[Run]:
    """The lines of ``/user/bills/``."""
    table = read(page).first("table", id="bills")
    if table is None or "</table>" not in page:
        raise _changed(_("the bill is not whole"), url, page)
    found = []
    for row in table.all("tr"):
        cells = [cell.text for cell in row.all("td")]
        if not cells:
            continue
        started, cost = _time(row, "data-started"), _money(cells[-1])
        if len(cells) < 5 or started is None or cost is None or not cells[3].isdigit():
            raise _changed(_("a bill line without its columns"), url, page)
        found.append(
            Run(
                server=cells[0],
                started_at=started,
                ended_at=_time(row, "data-stopped"),
                minutes=int(cells[3]),
                cost=cost,
            )
        )
    return found


def recharges(page: str, url: str) -> Sequence[Paid]:
    """What was paid in, from ``/user/bills/``; a page without that table lists none."""
    table = read(page).first("table", id="recharges")
    found = []
    for row in table.all("tr") if table is not None else ():
        cells = [cell.text for cell in row.all("td")]
        if not cells:
            continue
        at, money = _time(row, "data-paid"), _money(cells[-1])
        if len(cells) < 3 or at is None or money is None:
            raise _changed(_("a payment line without its columns"), url, page)
        found.append(Paid(id=cells[0], at=at, money=money))
    return found
