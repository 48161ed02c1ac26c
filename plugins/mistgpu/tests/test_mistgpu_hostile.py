"""Malformed, hostile or huge pages: parsed or rejected with our own error, in time linear in their length."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gpurent.api import CNY, GpurentError, UnexpectedResponse
from gpurent_plugin_mistgpu import wire
from plugins.mistgpu.tests.test_mistgpu_wire import LIST, ROW, SERVERS, URL

PARSERS = (
    wire.parse_offers,
    wire.parse_servers,
    wire.parse_balance,
    wire.parse_runs,
    wire.parse_top_ups,
    wire.parse_invoices,
)
CARD = '<div class="card form-check"><input class="form-check-input" value="1"><i class="card-title">x</i>3 元/时'
BILL = '<tr data-started="2020-03-01T00:00:00+00:00"><td>101</td><td>-</td><td>-</td><td>5</td><td>0.25 元</td></tr>'
BILLS = f'<html><table id="bills">{BILL}</table></html>'
# Several times what the slowest page takes, and much less than quadratic time would.
MAX_SECONDS = 15


def time_all_parsers(page: str) -> float:
    """Return the CPU seconds that all parsers take together; fails on any error that is not a `GpurentError`."""
    started = time.process_time()
    for reader in PARSERS:
        try:
            reader(page, URL)
        except GpurentError:
            continue
    wire.is_login_page(page)
    wire.parse_error_text(page)
    return time.process_time() - started


HOSTILE: dict[str, Callable[[int], str]] = {
    "open tags": lambda size: "<div>" * (size // 5),
    "open cells": lambda size: '<html><table id="servers">' + "<tr><td><table>" * (size // 15),
    "open tags, foreign ends": lambda size: "<div>" * (size // 9) + "</b>" * (size // 9),
    "foreign ends just within the bounds": lambda size: "<div>" * 150 + "</b>" * (size // 4),
    "attributes of one element": lambda size: "<a " + " ".join(f"a{n}" for n in range(size // 7)) + ">",
    "attributes that come again": lambda size: "<a " + "b=1 " * (size // 4) + ">",
    "formatting that comes again": lambda size: (
        "<p>" + "".join(f"<b id={n}>" for n in range(150)) + "</p>" + "<p>x</p>" * (size // 8)
    ),
    "wrong nesting": lambda size: "<b><i>x</b></i>" * (size // 15),
    "text between rows": lambda size: "<table>" + "x<b>" * 90 + "x</tr>" * (size // 6),
    "comments that are open": lambda size: "<!-- <!--" * (size // 9),
    "declarations that are open": lambda size: "<![" * (size // 3),
    "quotes that are open": lambda size: "<a x='" * (size // 6),
    "tags that are open": lambda size: "<a" * (size // 2),
    "a script that is open": lambda size: "<script>" + "</scrip" * (size // 7),
    "nothing but <": lambda size: "<" * size,
    "references": lambda size: "&#x" * (size // 6) + "&amp" * (size // 8),
    "zeros": lambda size: "\0" * size,
    "ends of the page": lambda size: "</html>" * (size // 7),
    "an end of the page that is open": lambda size: "</html" + " " * size,
    "cards in one another": lambda size: CARD * 150 + "<input>" * (size // 7),
    "rows in one another": lambda size: (
        '<html><table id="bills">' + f"{BILL[:-5]}<td><table>" * 40 + "<td>" * (size // 4) + "</table></html>"
    ),
    "cells in one another": lambda size: (
        '<html><table id="bills"><tr>' + "<td><div>" * 90 + "x " * (size // 2) + "</table></html>"
    ),
    "one long text": lambda size: '<p id="balance">' + "1.00 " * (size // 5),
    "one long alert": lambda size: '<p class="alert-danger">' + "<b>x</b>" * (size // 8),
    "elements without end": lambda size: '<p class="card">x</p>' * (size // 21),
}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.nightly] if number % 4 else [])
        for number, (name, make) in enumerate(HOSTILE.items())
    ],
)
def test_a_hostile_page_of_half_a_megabyte_is_parsed_in_time(make: Callable[[int], str]) -> None:
    assert time_all_parsers(make(1 << 19)) < MAX_SECONDS


def test_a_bill_of_a_megabyte_is_parsed() -> None:
    page = BILLS.replace(BILL, BILL * 8_000)
    started = time.process_time()
    assert len(wire.parse_runs(page, URL)) == 8_000
    assert time.process_time() - started < MAX_SECONDS


@pytest.mark.parametrize(
    "odd",
    [
        "<div>" * 10_000,
        "<a " + " ".join(f"a{number}" for number in range(10_000)) + ">",
        "<!-- not closed ",
        "<script> not closed ",
        "<a title='not closed ",
    ],
)
def test_a_truncated_or_oversized_page_is_rejected(odd: str) -> None:
    """Such a page is rejected as a whole, whether the defect comes before or after the data."""
    for page in (SERVERS.replace("</tr><tr", f"</tr>{odd}<tr"), odd + SERVERS, f"{SERVERS}{odd}"):
        with pytest.raises(UnexpectedResponse):
            wire.parse_servers(page, URL)
    for page in (odd + LIST, f"{LIST}{odd}"):
        with pytest.raises(UnexpectedResponse):
            wire.parse_offers(page, URL)
    with pytest.raises(UnexpectedResponse):
        wire.parse_top_ups(odd, URL)


def test_a_page_may_be_nested_much_deeper_than_the_site_does() -> None:
    page = "<div>" * 150 + SERVERS + "</div>" * 150
    assert len(wire.parse_servers(page, URL)) == 1
    assert wire.parse_error_text("<div>" * 190 + '<p class="alert-danger">deep</p>') == "deep"
    assert wire.parse_error_text("<div>" * 10_000 + '<p class="alert-danger">too deep</p>') == ""
    assert not wire.is_login_page("<div>" * 10_000 + '<form action="/login/"><input name="password"></form>')


def test_a_row_of_a_thousand_elements_is_rejected() -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_servers(SERVERS.replace("<td>028</td>", "<td>028</td>" + "<i></i>" * 1_000), URL)


@pytest.mark.parametrize(
    "page",
    [
        SERVERS.replace("</td>", "").replace("</tr>", ""),
        SERVERS.replace("<table", "<p><b><table").replace("<form>", "").replace("</form>", ""),
        SERVERS.replace("<html>", "<!doctype html><HTML lang=zh><body>").replace(
            "</table>", "</table></body>"
        ),
        SERVERS.replace("</tr></table>", "</tr></tbody></table>").replace("<tr><th>", "<tbody><tr><th>"),
        SERVERS.replace("正在运行", "<!-- state --><b>正在运行<i>…</b></i>"),
        SERVERS.replace("<td>028", "<td>028</html>"),
        f"{SERVERS}<!-- 0.1 s --><script>if (1 < 2) {{}}</script>",
        f"\ufeff<?xml version='1.0' encoding='gb2312'?>{SERVERS}",
    ],
)
def test_markup_that_browsers_tolerate_hides_no_server(page: str) -> None:
    (server,) = wire.parse_servers(page, URL)
    assert (server.id, server.machine, server.gpu, server.running) == ("101", "028", "Titan RTX", True)


def test_unclosed_rows_stay_separate() -> None:
    row = ROW.replace("</td>", "").replace("</tr>", "")
    page = SERVERS.replace(ROW, row + row.replace('"101"', '"102"') + row.replace('"101"', '"103"'))
    assert [server.id for server in wire.parse_servers(page, URL)] == ["101", "102", "103"]


def test_character_references_are_decoded() -> None:
    page = '<p id="balance">&#20313;&#39069;&nbsp;12&#46;34 &#20803;</p>'
    assert wire.parse_balance(page, URL) == (CNY.money("12.34"), CNY.zero)
    assert wire.parse_error_text('<p class="x alert-danger">1 &lt; 2 &#0;&#xD800;&#99999999;</p>').startswith(
        "1 < 2"
    )
