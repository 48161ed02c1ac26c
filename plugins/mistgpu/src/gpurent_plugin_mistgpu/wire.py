"""MISTGPU's pages <-> the domain model. No I/O.

Known from a public client of 2020: the login form, and the machine list's radio buttons (``disabled`` = taken). The
columns of the server list are known from the provider's own screenshots of 2020 and 2022. All else is assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice

from attrs import frozen
from lxml import etree

from gpurent.api import (
    CNY,
    Charge,
    ChargeKind,
    Endpoint,
    Hardware,
    Metered,
    Money,
    Offer,
    UnexpectedResponse,
    UnitPrice,
    UsageError,
    parse_foreign_decimal,
    parse_foreign_integer,
    parse_foreign_money,
    parse_foreign_name,
)
from gpurent_plugin_mistgpu import _
from gpurent_plugin_mistgpu.markup import find_elements, find_first, find_innermost, get_text, parse_page

RUNNING, SHORT_RENT, SHUT_DOWN = "正在运行", "短租中", "已关机"
# The words that the pages put before an amount; any other word may change its meaning ("owes 3.50").
_LABEL = r"(?:(?:余额|累计消费|价格|单价|现价|租金|金额)\s*[:：]?\s*)?"
_LABELLED_PATTERN = re.compile(rf"{_LABEL}(.+)", re.DOTALL)
_PRICE_UNIT = re.compile(r"元\s*/\s*小?时")
_PRICE_PATTERN = re.compile(rf"{_LABEL}(.+?)\s*{_PRICE_UNIT.pattern}", re.DOTALL)
_GPU_PATTERN = re.compile(r"(?:([1-9]\d{0,2})\s*[x×]\s*)?(.+)", re.ASCII)
MAX_ELEMENTS = 1_000  # more than any card or row of the pages has


@frozen(kw_only=True)
class ServerRow:
    """One row of the server list; ``kept_until`` is set if the server is shut down."""

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
class BilledRun:
    """One row of the bill page: a server's run and what it cost so far."""

    server: str
    started_at: datetime
    ended_at: datetime | None
    minutes: int
    cost: Money


def _page_changed_error(what: str, url: str, page: str) -> UnexpectedResponse:
    return UnexpectedResponse(
        _("unexpected content on MISTGPU's page {url}: {what}").format(url=url, what=what), url=url, body=page
    )


def _parse_whole_page(page: str, url: str) -> etree._Element:
    root, whole = parse_page(page)
    if not whole:
        raise _page_changed_error(_("the page is incomplete"), url, page)
    return root


def _check_sizes(nodes: Iterable[etree._Element], url: str, page: str) -> Iterator[etree._Element]:
    """Yield cards or rows. Raises `UnexpectedResponse` if one is too large.

    They can be nested, and a long page must not be read again for each.
    """
    for node in nodes:
        if next(islice(node.iterdescendants("*"), MAX_ELEMENTS, None), None) is not None:
            raise _page_changed_error(_("an element is too large"), url, page)
        yield node


def _iter_table_rows(
    page: str, url: str, name: str, error: str = ""
) -> Iterator[tuple[etree._Element, list[str]]]:
    """Yield the rows of table ``name`` that have cells, with the text of the cells.

    ``error`` is the error message if the table is missing or incomplete; without it, a missing table has no rows.
    """
    table = find_first(_parse_whole_page(page, url).iter("table"), id=name)
    if error and (table is None or "</table>" not in page):
        raise _page_changed_error(error, url, page)
    for row in _check_sizes(table.iterdescendants("tr") if table is not None else (), url, page):
        if cells := [get_text(cell) for cell in row.iterdescendants("td")]:
            yield row, cells


def parse_offers(page: str, url: str) -> Sequence[Offer]:
    """Parse the machines of ``/create/``: each a ``.card.form-check`` with a radio button; ``disabled`` means taken."""
    found: list[Offer] = []
    for card in _check_sizes(
        find_elements(_parse_whole_page(page, url).iter("*"), "card form-check"), url, page
    ):
        radio = find_first(card.iter("input"), "form-check-input")
        key = radio.get("value", "") if radio is not None else ""
        if radio is None or not re.fullmatch(r"[0-9A-Za-z]{1,12}", key):
            raise _page_changed_error(_("a machine without a number"), url, page)
        model = find_first(card.iter("*"), "card-title")
        price = _parse_price(card, model, url, page)
        named = _GPU_PATTERN.fullmatch(get_text(model)) if model is not None else None
        if named is None:
            raise _page_changed_error(_("a machine without a price or a name"), url, page)
        found.append(
            Offer(
                key=key,
                provider="mistgpu",
                hardware=Hardware(gpu=named[2], gpus=int(named[1] or 1)),
                tariff=Metered(price=UnitPrice(price, CNY)),
                available="disabled" not in radio.attrib,
            )
        )
    if not found:
        raise _page_changed_error(_("no machine found"), url, page)
    return found


def _parse_price(card: etree._Element, model: etree._Element | None, url: str, page: str) -> Decimal:
    """Return the price per hour: the whole text of the smallest element that holds it, one price per card."""
    try:
        found = {
            _parse_price_text(_get_price_text(node, card, model))
            for node in find_innermost(card, _PRICE_UNIT, model)
        }
    except ValueError:
        found = set()
    if len(found) != 1:
        raise _page_changed_error(_("a machine without a price or a name"), url, page)
    return found.pop()


def _parse_price_text(text: str) -> Decimal:
    match = _PRICE_PATTERN.fullmatch(text)
    price = parse_foreign_decimal(match[1] if match is not None else None)
    if price < 0:
        raise ValueError
    return price


def _get_price_text(node: etree._Element, card: etree._Element, model: etree._Element | None) -> str:
    """Return the text of ``node``; if it is only the unit, the text around it, where the number is."""
    text = get_text(node, model)
    parent = node.getparent()
    if parent is None or node is card or not _PRICE_UNIT.fullmatch(text):
        return text
    return _get_price_text(parent, card, model)


def make_unlisted_offer(server: ServerRow) -> Offer:
    """Return what is known of a server whose machine is no longer offered; its price is not."""
    return Offer(
        key=server.machine,
        provider="mistgpu",
        hardware=Hardware(gpu=server.gpu, gpus=1),
        tariff=Metered(price=UnitPrice.make_unknown(CNY)),
        available=False,
        note=_("the price is not known"),
    )


def is_login_page(page: str) -> bool:
    """Return whether ``page`` is the login form."""
    form = find_first(parse_page(page)[0].iter("form"), action="/login/")
    return form is not None and find_first(form.iter("input"), name="password") is not None


def parse_error_text(page: str) -> str:
    """Return the error message on the page; empty if there is none."""
    alert = find_first(parse_page(page)[0].iter("*"), "alert-danger")
    return get_text(alert)[:200] if alert is not None else ""


def parse_servers(page: str, url: str) -> Sequence[ServerRow]:
    """Parse the rows of ``/user/``. The page must be complete, since a missing row means that a server is gone."""
    broken = _("the server list is incomplete")
    if "</html>" not in page:
        raise _page_changed_error(broken, url, page)
    return [
        _parse_server(row, cells, url, page) for row, cells in _iter_table_rows(page, url, "servers", broken)
    ]


def _parse_server(row: etree._Element, cells: Sequence[str], url: str, page: str) -> ServerRow:
    server = find_first(row.iter("input"), name="server_id")
    state = next((cell for cell in cells if cell.startswith((RUNNING, SHORT_RENT, SHUT_DOWN))), "")
    if len(cells) < 5 or server is None or not state:
        raise _page_changed_error(_("a server row with missing columns"), url, page)
    running = not state.startswith(SHUT_DOWN)
    return ServerRow(
        id=_parse_name(number, url, page) if (number := server.get("value")) else "",
        machine=_parse_name(cells[0], url, page),
        gpu=cells[1],
        endpoint=_parse_endpoint(cells[2], url, page) if running else None,
        running=running,
        started_at=_parse_time(row, "data-started", url, page),
        stopped_at=_parse_time(row, "data-stopped", url, page),
        kept_until=_parse_time(row, "data-kept", url, page),
        note=state,
    )


def _parse_name(text: str, url: str, page: str) -> str:
    """Return the number of a server, a machine or a payment, as forms and commands repeat it."""
    try:
        return parse_foreign_name(text)
    except ValueError:
        raise _page_changed_error(_("not a number of a server or a payment"), url, page) from None


def _parse_endpoint(text: str, url: str, page: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except UsageError:
        raise _page_changed_error(_("unrecognized SSH command"), url, page) from None


def _parse_time(row: etree._Element, name: str, url: str, page: str) -> datetime | None:
    """Parse an attribute of the row; None if it is missing or empty."""
    text = row.get(name, "")
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _page_changed_error(_("not a time with a time zone"), url, page) from None
    if found.tzinfo is None:
        raise _page_changed_error(_("not a time with a time zone"), url, page)
    return found


def _parse_money(text: str, url: str, page: str) -> Money:
    match = _LABELLED_PATTERN.fullmatch(text)
    try:
        return parse_foreign_money(match[1] if match is not None else "", CNY)
    except ValueError:
        raise _page_changed_error(_("not an amount of money"), url, page) from None


def parse_balance(page: str, url: str) -> tuple[Money, Money]:
    """Return ``(balance, spent in total)`` from ``/user/``."""
    tree = _parse_whole_page(page, url)
    left, spent = find_first(tree.iter("*"), id="balance"), find_first(tree.iter("*"), id="spent")
    if left is None:
        raise _page_changed_error(_("no balance found"), url, page)
    total = _parse_money(get_text(spent), url, page) if spent is not None else CNY.zero
    return _parse_money(get_text(left), url, page), total


def parse_invoices(page: str, url: str) -> Sequence[tuple[str, Money]]:
    """Return number and amount of each requested invoice, from ``/user/invoice/``."""
    found = []
    for _row, cells in _iter_table_rows(page, url, "invoices", _("the list of invoices is incomplete")):
        if len(cells) < 3 or not cells[0]:
            raise _page_changed_error(_("an invoice row with missing columns"), url, page)
        found.append((_parse_name(cells[0], url, page), _parse_money(cells[-1], url, page)))
    return found


def parse_runs(page: str, url: str) -> Sequence[BilledRun]:
    """Parse the runs in ``/user/bills/``."""
    found = []
    for row, cells in _iter_table_rows(page, url, "bills", _("the bill is incomplete")):
        started = _parse_time(row, "data-started", url, page)
        if len(cells) < 5 or started is None:
            raise _page_changed_error(_("a bill row with missing columns"), url, page)
        found.append(
            BilledRun(
                server=_parse_name(cells[0], url, page),
                started_at=started,
                ended_at=_parse_time(row, "data-stopped", url, page),
                minutes=_parse_minutes(cells[3], url, page),
                cost=_parse_money(cells[-1], url, page),
            )
        )
    return found


def _parse_minutes(text: str, url: str, page: str) -> int:
    try:
        return parse_foreign_integer(text)
    except ValueError:
        raise _page_changed_error(_("not a number of minutes"), url, page) from None


def parse_top_ups(page: str, url: str) -> Sequence[Charge]:
    """Parse the top-ups in ``/user/bills/``; a page without that table has none."""
    found = []
    for row, cells in _iter_table_rows(page, url, "recharges"):
        at = _parse_time(row, "data-paid", url, page)
        if len(cells) < 3 or at is None:
            raise _page_changed_error(_("a payment row with missing columns"), url, page)
        money = _parse_money(cells[-1], url, page)
        number = _parse_name(cells[0], url, page)
        found.append(Charge(at=at, kind=ChargeKind.TOP_UP, money=money, ref=f"recharge/{number}"))
    return found
