"""Listings: they fit 80 columns in both languages, and `ls` says what each lease costs and what ends it first."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from gpurent.cli.views.offers import format_market
from gpurent.cli.views.table import display_width, format_table
from gpurent.domain.lease_outlook import EndCause, find_first_end
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.money_text import format_rounded
from gpurent.domain.offer import Hardware, Metered, Offer, Quote
from gpurent.domain.time_left import TimeKind, TimeLeft
from gpurent.locale import use_language
from gpurent.testing.shared_sandbox import CommandLineResult
from gpurent.workflow.reports.offers import MarketOffers, PricedOffer
from tests.cli.stored_leases import DBC, LONG_KEY, make_home
from tests.command_line import run_command

NOW = datetime(2026, 11, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home") / "state")


def run(home: Path, line: str, *, columns: str = "80", **environment: str) -> CommandLineResult:
    base = {
        "PATH": os.environ["PATH"], "HOME": str(home.parent), "GPURENT_HOME": str(home), "LANG": "C.UTF-8",
    }  # fmt: skip
    base |= {"COLUMNS": columns} if columns else {}
    return run_command(*line.split(), environment=base | environment, folder=home.parent)


LISTINGS = (
    "ls",
    "ls --all",
    "trips",
    "show compshare-zz9yx",
    "costs --offline",
    "costs --offline --by provider",
    "providers",
    "providers dbc-chain",
    "plugin list",
    "top --once",
    "status",
    "config list --all",
    "version --all",
)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("line", LISTINGS)
def test_listings_fit_80_columns(home: Path, line: str, language: str) -> None:
    result = run(home, f"--no-input --lang {language} {line}")
    assert result.code == 0, result.err
    assert [row for row in result.out.splitlines() if display_width(row) > 80] == []


def test_without_a_terminal_each_row_is_one_line(home: Path) -> None:
    lines = run(home, "ls", columns="").out.splitlines()
    assert len([line for line in lines if "-" in line.split(" ")[0]]) >= 5
    assert any("RTX 2080Ti" in line for line in lines)


def test_ls_says_what_each_costs_and_what_ends_it_first(home: Path) -> None:
    rows = {line.split()[0]: line for line in run(home, "ls", columns="").out.splitlines()[2:7]}
    assert "3.20 CNY/h" in rows["mistgpu-abc23"]
    assert "~10.2" in rows["mistgpu-abc23"], "by time and price, as the ledger has nothing yet"
    assert rows["mistgpu-abc23"].endswith("deadline"), "before its balance is used up"
    assert rows["1024gpu-k2f7a"].endswith("timer"), "before its term is over"
    assert "59,259 DBC" in rows["1024gpu-k2f7a"]
    assert rows["compshare-zz9yx"].split()[-1] == "-"
    assert "0.04 CNY/h" in rows["compshare-zz9yx"], "what it costs while it is stopped"


def test_ls_says_when_the_guard_last_ran(home: Path, tmp_path: Path) -> None:
    out = run(home, "ls").out
    assert "The guard is not running (last start: " in out
    assert "shut down on its console" in out


def test_wide_is_exact(home: Path) -> None:
    out = run(home, "ls --wide").out
    for text in ("59,259.258725760000001 DBC", "1234.56789012 DBC/h", "ssh root@198.51.100.7 -p 22001"):
        assert text in out


def test_json_is_exact_and_says_what_ends_it(home: Path) -> None:
    leases = {lease["id"]: lease for lease in json.loads(run(home, "ls --json").out)["data"]}
    assert leases["1024gpu-k2f7a"]["spent"][0]["amount"] == "59259.258725760000001"
    first = leases["mistgpu-abc23"]
    assert (first["ends_first"]["cause"], first["spent_is_estimated"]) == ("deadline", True)
    assert leases["dbc-chain-q7q8r"]["offer"]["key"] == LONG_KEY
    assert leases["dbc-chain-q7q8r"]["ends_first"] is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("show comp", "compshare-zz9yx"),
        ("show zz9yx", "compshare-zz9yx"),
        ("trips show t11", "t1129-abd45"),
        ("trips show abd", "t1129-abd45"),
    ],
)
def test_the_beginning_of_an_id_is_enough(home: Path, line: str, shown: str) -> None:
    result = run(home, f"--no-input {line}")
    assert result.code == 0, result.err
    assert shown in result.out


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("show compshare-zz8yx", 6, "Did you mean compshare-zz9yx?"),
        ("trips show t1129-abd44", 2, "Did you mean t1129-abd45?"),
        ("receipts ab", 6, "no such lease"),
        ("receipts abc", 0, "mistgpu-abc23"),
        ("release nosuch", 6, "gpurent ls --all"),
    ],
)
def test_a_near_miss_is_suggested_and_nothing_is_guessed(home: Path, line: str, code: int, told: str) -> None:
    result = run(home, f"--no-input {line}")
    assert result.code == code
    assert told in result.out + result.err


def make_market() -> MarketOffers:
    """The offers of three providers: one machine has a name of 64 letters, another a deposit, a third is taken."""
    day = timedelta(days=1)

    def price(provider: str, key: str, gpu: str, per_hour: UnitPrice, **more: Any) -> PricedOffer:
        offer = Offer(
            provider=provider, key=key, hardware=Hardware(gpu=gpu, gpus=1), tariff=Metered(price=per_hour)
        )
        cost = per_hour.cost(day)
        quote = Quote(low=cost, high=cost, deposit=more.pop("deposit", None))
        return PricedOffer(
            offer=evolve(offer, **more), term=day, price=cost, quote=quote, net_quote=quote,
            refundable=cost.currency.zero,
        )  # fmt: skip

    yuan, tokens = UnitPrice(Decimal("3.2"), CNY), UnitPrice(Decimal("1234.56789012"), DBC)
    return MarketOffers(
        ranked=[
            price("mistgpu", "000029", "RTX 2080Ti", yuan),
            price("1024gpu", "7", "RTX 3090", yuan, deposit=CNY.money(200), available=False),
            price("compshare", "4090-1c-16g", "RTX 4090", yuan, location="华北二, 可用区 B"),
        ],
        unconverted=[price("dbc-chain", LONG_KEY, "A100 80GB", tokens)],
        unavailable=[("vast", "you are not logged in to vast")],
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_offers_fit_80_columns(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with use_language(language):
        text = format_market(make_market(), "CNY")
    assert [line for line in text.splitlines() if display_width(line) > 80] == []
    assert LONG_KEY not in text
    assert f"{LONG_KEY[:13]}…" in text
    assert "--wide" in text
    assert "000029" in text
    assert re.search(r"^1024gpu +7 ?[（(]", text, re.MULTILINE), "it is taken"


def test_wide_offers_have_every_column_and_whole_names() -> None:
    text = format_market(make_market(), "CNY", wide=True)
    assert LONG_KEY in text
    assert "1234.56789012 DBC/h" in text
    assert "refundable" in text


# tables


def test_a_table_that_is_too_wide_is_wrapped_within_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("acme-k2f7a", "a note of many words that goes on and on", "12.50 CNY"), ("b", "c", "1 CNY")]
    whole = format_table(("id", "note", "amount"), rows, right=(2,))
    monkeypatch.setenv("COLUMNS", "40")
    lines = format_table(("id", "note", "amount"), rows, right=(2,)).splitlines()
    assert max(map(len, lines)) <= 40
    assert sorted(" ".join(lines).split()) != []
    words = [word for line in lines[2:] for word in line.split()]
    assert sorted(words) == sorted(word for row in rows for cell in row for word in cell.split())
    assert "acme-k2f7a" in words
    monkeypatch.setenv("COLUMNS", "200")
    assert format_table(("id", "note", "amount"), rows, right=(2,)) == whole


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        ("0", "0.00"), ("1", "1.00"), ("0.1", "0.10"), ("0.123456", "0.123"), ("0.00012345", "0.000123"),
        ("0.999999", "1.00"), ("9999.994", "9,999.99"), ("12345.67", "12,346"), ("-3.456", "-3.46"),
        ("0.000000000000000001", "0.000000000000000001"),
    ],
)  # fmt: skip
def test_amounts_are_rounded_for_tables(exact: str, shown: str) -> None:
    assert format_rounded(Fraction(exact)) == shown


def test_the_earliest_end_comes_first() -> None:
    own = TimeLeft(kind=TimeKind.PREPAID, until=NOW + 3 * HOUR, left=3 * HOUR)
    ends = [(EndCause.TIMER, NOW + 2 * HOUR), (EndCause.DEADLINE, None), (EndCause.BUDGET, NOW + 4 * HOUR)]
    found = find_first_end(own, ends, NOW)
    assert found is not None
    assert (found.cause, found.left) == (EndCause.TIMER, 2 * HOUR)
    found = find_first_end(own, [], NOW + 5 * HOUR)
    assert found is not None
    assert (found.cause, found.left) == (EndCause.TERM, timedelta()), "never negative"
    assert find_first_end(TimeLeft(kind=TimeKind.UNKNOWN, note="no answer"), [], NOW) is None
