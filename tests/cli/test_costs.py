"""Costs in the terminal and as a page: conversion by stored rates only, aligned bars, safe and well-formed HTML."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, strategies as st

from gpurent.cli.views.charts import BAR_WIDTH, format_bar, format_costs
from gpurent.cli.views.cost_page import render_cost_page
from gpurent.cli.views.table import display_width
from gpurent.domain.ledger import Transaction, group_lines, make_transaction
from gpurent.domain.money import CNY, USD, Currency, Money, Rate
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.workflow.reports.costs import GROUPINGS, LeaseSpan, UsageHistory, group_costs

AT = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
DBC = Currency("DBC", 8)
HOSTILE = "<script>alert(1)</script>\"&'\x1b[2J\u202e\x00]]>"


def make_entry(
    amount: str,
    currency: Currency,
    kind: ChargeKind = ChargeKind.USAGE,
    *,
    price: str = "",
    gpu: str = "2080Ti",
    hours: int = 0,
    ref: str = "",
) -> Transaction:
    at = AT + timedelta(hours=hours)
    rate = Rate(DBC, USD, Decimal(price), at, "chain") if price else None
    charge = Charge(at=at, kind=kind, money=currency.money(amount), ref=ref or f"{amount}{hours}", rate=rate)
    return make_transaction(charge, "acme", lease="l1", trip="t1", gpu=gpu)


def test_each_movement_is_converted_by_its_own_rate() -> None:
    found = group_costs(
        [
            make_entry("100", DBC, price="0.002"),
            make_entry("100", DBC, ChargeKind.REFUND, price="0.004", hours=1),
        ],
        "day",
        "USD",
    )
    assert [str(item.money) for item in found.movements] == ["0.20 USD", "-0.40 USD"]
    assert [str(row.money) for row in found.rows] == ["0.20 USD", "-0.40 USD"]
    assert [row.key for row in found.rows] == ["2026-03-01", "2026-03-02"]
    assert [str(rate.value) for rate in found.rates] == ["0.002", "0.004"]
    text = format_costs(found)
    assert "Exchange rate: 1 DBC = 0.002 USD (chain, 2026-03-01 23:30 UTC)" in text
    assert found.unconverted == ()


def test_two_currencies_with_one_code_are_told_apart() -> None:
    charges = {
        "old-cloud": Charge(at=AT, kind=ChargeKind.USAGE, money=DBC.money("250"), ref="a"),
        "new-chain": Charge(at=AT, kind=ChargeKind.FEE, money=Currency("DBC", 15).money("2510"), ref="b"),
    }
    found = group_costs(
        [make_transaction(charge, provider) for provider, charge in charges.items()], "day", "USD"
    )
    both = "250 DBC (old-cloud) + 2,510 DBC (new-chain)"
    text = format_costs(found)
    assert f"Total: {both}" in text
    assert f"was stored: {both}" in text
    assert both in render_cost_page(found, UsageHistory())
    assert [line.count("█") for line in text.splitlines() if line.startswith("2026-")] == [BAR_WIDTH] * 2
    alone = group_costs([make_transaction(charges["old-cloud"], "old-cloud")], "day")
    assert "Total: 250 DBC\n" in format_costs(alone) + "\n"


@pytest.mark.parametrize("price", ["", "0", "-1", "NaN"])
def test_without_a_usable_rate_nothing_is_guessed(price: str) -> None:
    found = group_costs([make_entry("100", DBC, price=price), make_entry("3.60", CNY)], "provider", "USD")
    assert {str(money) for money in found.totals} == {"3.60 CNY", "100 DBC"}
    assert {str(money) for money in found.unconverted} == {"3.60 CNY", "100 DBC"}
    assert found.rates == ()
    assert "Not converted, no exchange rate was stored: 3.60 CNY + 100 DBC" in format_costs(found)


def test_deposits_holds_and_top_ups_are_not_spent() -> None:
    kinds = (
        ChargeKind.DEPOSIT,
        ChargeKind.DEPOSIT_REFUND,
        ChargeKind.HOLD,
        ChargeKind.TOP_UP,
        ChargeKind.TRANSFER,
    )
    assert group_costs([make_entry("5", CNY, kind) for kind in kinds], "day").movements == ()


def test_a_reversal_takes_back_just_what_was_converted() -> None:
    first = make_entry("1", DBC, price="0.0033", ref="r")
    (line,) = group_lines([first])
    found = group_costs([first, line.make_reversal(AT, "")], "day", "USD")
    assert [str(money) for money in found.totals] == ["0.00 USD"]


@given(st.integers(0, 10**30), st.integers(1, 10**30))
def test_bars_fit_their_width_and_never_hide_money(amount: int, most: int) -> None:
    made = format_bar(min(amount, most), most)
    assert len(made) <= BAR_WIDTH
    assert bool(made) == (amount > 0)
    assert format_bar(most, most) == "█" * BAR_WIDTH


def test_bars_line_up_with_chinese_names() -> None:
    found = group_costs([make_entry("4", CNY, gpu="显卡甲"), make_entry("2", CNY, gpu="T4", hours=1)], "gpu")
    rows = [row for row in format_costs(found).splitlines() if "█" in row]
    assert len({display_width(row[: row.index("█")]) for row in rows}) == 1
    assert [row.count("█") for row in rows] == [BAR_WIDTH // 2, BAR_WIDTH]


@pytest.mark.parametrize("by", GROUPINGS)
def test_the_page_is_well_formed_safe_and_needs_nothing(by: str) -> None:
    entries = [
        make_entry("4", CNY, gpu=HOSTILE),
        make_entry("100", DBC, price="0.002", hours=30, gpu="显卡"),
        make_entry("50", DBC, ChargeKind.REFUND, price="0.002", hours=31),
    ]
    found = group_costs(entries, by)
    spans = (
        LeaseSpan(lease="l1", since=AT, until=AT + timedelta(hours=2), money=Money(400, CNY)),
        LeaseSpan(
            lease="l2", since=AT + timedelta(hours=1), until=AT + timedelta(hours=9), money=Money(80, CNY)
        ),
    )
    idle = {HOSTILE: (("upload-to-job", timedelta(minutes=3)), ("job-to-release", timedelta()))}
    text = render_cost_page(found, UsageHistory(spans=spans, idle=idle))
    tree = ET.fromstring(text)  # noqa: S314 - our own page
    tags = {node.tag.rpartition("}")[2] for node in tree.iter()}
    assert "svg" in tags
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "a", "image", "use"})
    assert not re.search(r"(src|href|url\(|@import|\son\w+=)", text)
    assert set(re.findall(r"https?://[^\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text.replace("\n", ""))
    captions = [node.text for node in tree.iter("figcaption")]
    assert captions[:3] == ["Cumulative spending, CNY", "Cumulative spending, DBC", "Burn rate, CNY per hour"]
    assert "Idle time that was paid for" in captions
    labels = {node.text for node in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"4.00 CNY", "2.10 CNY", "0.00 CNY"} <= labels, "both leases burn together at the most"
    if by == "gpu":
        cells = [node.text or "" for node in tree.iter("td")]
        assert any("<script>" in cell for cell in cells), "shown as text"


def test_empty_page() -> None:
    ET.fromstring(render_cost_page(group_costs([], "day"), UsageHistory()))  # noqa: S314 - our own page
    assert format_costs(group_costs([], "day")) == "Nothing was spent."
