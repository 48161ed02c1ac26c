"""Every field of the account's pages, and that a page which changed is refused with what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gpurent.api import CNY, Charge, ChargeKind, Money
from gpurent_plugin_mistgpu import wire
from plugins.mistgpu.tests.page_checks import check_refused
from plugins.mistgpu.tests.test_mistgpu_wire import BILL, URL

STARTED, STOPPED = datetime(2020, 3, 1, tzinfo=UTC), datetime(2020, 3, 1, 1, tzinfo=UTC)
TOP_UPS = """<table id="recharges"><tr><th>no</th></tr><tr data-paid="2020-03-01T01:00:00+00:00"><td>77</td>
<td>alipay</td><td>10.00 元</td></tr></table>"""
INVOICES = """<table id="invoices"><tr><td>I-1</td><td>2020</td><td>done</td><td>12.50 元</td></tr>
<tr><td>I-2</td><td>asked</td><td>3.00 元</td></tr></table>"""


@pytest.mark.parametrize(
    ("page", "is_login"),
    [
        ('<form action="/login/"><input name="password"></form>', True),
        ('<form action="/create/"><input name="password"></form>', False),
        ('<form action="/login/"><input name="user"></form>', False),
        ('<form action="/login/"></form><input name="password">', False),
        ('<p action="/login/"><input name="password"></p>', False),
        ('<form action="/login/"><b name="password"></b></form>', False),
        ("", False),
    ],
)
def test_the_login_form(page: str, is_login: bool) -> None:
    assert wire.is_login_page(page) is is_login


def test_the_error_on_a_page() -> None:
    assert (
        wire.parse_error_text('<p>ok</p><div class="alert alert-danger">余额 <b>不足</b></div>')
        == "余额 不足"
    )
    assert wire.parse_error_text(f'<p class="alert-danger">{"x" * 201}</p>') == "x" * 200
    assert wire.parse_error_text('<p class="alert">saved</p>') == ""


def test_a_balance_and_what_was_spent() -> None:
    page = '<p id="balance">余额 12.34 元</p>'
    assert wire.parse_balance(page, URL) == (CNY.money("12.34"), CNY.zero)
    assert wire.parse_balance(f'{page}<p id="spent">5 元</p>', URL) == (CNY.money("12.34"), CNY.money(5))
    check_refused(wire.parse_balance, "<p>12.34 元</p>", "no balance found")
    check_refused(wire.parse_balance, f"{page}<!--", "the page is incomplete")
    check_refused(wire.parse_balance, f'{page}<p id="spent">much</p>', "not an amount of money")
    check_refused(wire.parse_balance, '<p id="balance"></p>', "not an amount of money")


def test_invoices() -> None:
    body = INVOICES.replace("<tr>", "<tbody><tr>", 1).replace("</table>", "</tbody></table>")
    assert wire.parse_invoices(body, URL) == wire.parse_invoices(INVOICES, URL)
    assert wire.parse_invoices(INVOICES, URL) == [("I-1", CNY.money("12.50")), ("I-2", CNY.money(3))]
    for page in ("", INVOICES.replace("</table>", ""), INVOICES.replace("invoices", "bills")):
        check_refused(wire.parse_invoices, page, "the list of invoices is incomplete")
    for page in (INVOICES.replace("I-1", ""), INVOICES.replace("<td>asked</td>", "")):
        check_refused(wire.parse_invoices, page, "an invoice row with missing columns")
    check_refused(wire.parse_invoices, INVOICES.replace("12.50", "12,50"), "not an amount of money")


def test_every_field_of_a_run() -> None:
    bill = BILL.format(stopped="2020-03-01T01:00:00+00:00", minutes="60", cost="3.50 元")
    assert wire.parse_runs(bill, URL) == [
        wire.BilledRun(server="101", started_at=STARTED, ended_at=STOPPED, minutes=60, cost=Money(350, CNY))
    ]
    for page in ("", bill.replace("</table>", ""), bill.replace("bills", "runs")):
        check_refused(wire.parse_runs, page, "the bill is incomplete")
    for old in (' data-started="2020-03-01T00:00:00+00:00"', "<td>-</td>"):
        check_refused(wire.parse_runs, bill.replace(old, ""), "a bill row with missing columns")
    check_refused(wire.parse_runs, bill.replace(">60<", ">60.5<"), "not a number of minutes")
    check_refused(wire.parse_runs, bill.replace("3.50", "x"), "not an amount of money")
    check_refused(wire.parse_runs, bill.replace("T01:00:00+00:00", ""), "not a time with a time zone")
    check_refused(wire.parse_runs, bill.replace("2020-03-01T00", "2020"), "not a time with a time zone")


def test_top_ups() -> None:
    assert wire.parse_top_ups(TOP_UPS, URL) == [
        Charge(at=STOPPED, kind=ChargeKind.TOP_UP, money=Money(1000, CNY), ref="recharge/77")
    ]
    assert wire.parse_top_ups("<html></html>", URL) == [], "a page without the table has none"
    for old in (' data-paid="2020-03-01T01:00:00+00:00"', "<td>alipay</td>"):
        check_refused(wire.parse_top_ups, TOP_UPS.replace(old, ""), "a payment row with missing columns")
    large = TOP_UPS.replace("alipay", "<i></i>" * wire.MAX_ELEMENTS)
    check_refused(wire.parse_top_ups, large, "an element is too large")
    check_refused(wire.parse_top_ups, TOP_UPS.replace("10.00", "x"), "not an amount of money")
    check_refused(wire.parse_top_ups, TOP_UPS.replace("+00:00", ""), "not a time with a time zone")
