"""What the bank's file means, and that anything else is refused with what is wrong."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from gpurent.api import CNY, USD, UnexpectedResponse
from gpurent_plugin_ecb import wire

TODAY = date(2026, 11, 30)
URL = "https://bank.example" + wire.PATH
# Written after the bank's documentation.
FILE = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
	<gesmes:subject>Reference rates</gesmes:subject>
	<gesmes:Sender>
		<gesmes:name>European Central Bank</gesmes:name>
	</gesmes:Sender>
	<Cube>
		<Cube time='2026-11-27'>
			<Cube currency='USD' rate='1.0859'/>
			<Cube currency='JPY' rate='169.45'/>
			<Cube currency='CNY' rate='7.8512'/>
		</Cube>
	</Cube>
</gesmes:Envelope>
"""
USD_ROW = "<Cube currency='USD' rate='1.0859'/>"
CNY_ROW = "<Cube currency='CNY' rate='7.8512'/>"


def test_the_rate_is_the_cross_of_two_values_of_one_day() -> None:
    rate = wire.parse_reference_rates(FILE, URL, TODAY).to_rate()
    assert (rate.base, rate.quote, rate.source) == (USD, CNY, "European Central Bank")
    assert rate.value == Decimal("7.230132"), "7.8512 / 1.0859 = 7.2301316..."
    assert rate.at == datetime(2026, 11, 27, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("usd", "cny", "value"),
    [
        ("1", "7.0000005", "7.000000"),
        ("1", "7.0000015", "7.000002"),
        ("3", "20", "6.666667"),
        ("1", "7", "7"),
    ],
)
def test_it_is_rounded_half_to_even(usd: str, cny: str, value: str) -> None:
    made = wire.make_reference_rates("2026-11-27", {"USD": usd, "CNY": cny}, TODAY).to_rate()
    assert made.value == Decimal(value)
    assert made.value.as_tuple().exponent == -wire.DECIMALS


def replace(old: str, new: str) -> str:
    assert old in FILE
    return FILE.replace(old, new)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
REFUSED = {
    "doctype": (replace("<gesmes:Envelope", "<!DOCTYPE x><gesmes:Envelope"), "declarations"),
    "entities": (replace("<gesmes:Envelope", BOMB + "<gesmes:Envelope"), "declarations"),
    "external entity": (
        replace("<gesmes:Envelope", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><gesmes:Envelope'),
        "declarations",
    ),
    "cdata": (replace(USD_ROW, "<![CDATA[" + USD_ROW + "]]>"), "declarations"),
    "undeclared entity": (replace("1.0859", "&a;"), "not XML"),
    "html": ("<html><body>closed</body></html>", "not the file"),
    "other namespace": (replace("2002-08-01/eurofxref", "2030-01-01/eurofxref"), "one day expected, not of 0"),
    "other root": (FILE.replace("gesmes:Envelope", "gesmes:Letter"), "not the file"),
    "empty": ("", "not XML"),
    "cut": (FILE[:-20], "not XML"),
    "json": ('{"rates": {}}', "not XML"),
    "null character": (replace("JPY", "J\0Y"), "not XML"),
    "lone surrogate": (replace("JPY", "J\ud800Y"), "not XML"),
    "too large": (replace("<gesmes:subject>", "<gesmes:subject>" + "x" * wire.MAX_CHARS), "too large"),
    "no day": (replace("<Cube time='2026-11-27'>", "<Cubes time='2026-11-27'>").replace(
        "</Cube>\n\t</Cube>", "</Cubes>\n\t</Cube>"), "one day expected, not of 0"),
    "several days": (replace("\t</Cube>\n</g", "<Cube time='2026-11-26'/>\t</Cube>\n</g"), "not of 2"),
    "several groups": (replace("</gesmes:E", "<Cube><Cube time='2026-11-26'/></Cube></gesmes:E"), "not of 2"),
    "future": (replace("2026-11-27", "2026-12-01"), "2026-12-01, which has not come yet"),
    "no date": (replace("time='2026-11-27'", ""), "'' is not a date"),
    "impossible date": (replace("2026-11-27", "2026-11-31"), "not a date"),
    "other date": (replace("2026-11-27", "27.11.2026"), "not a date"),
    "week date": (replace("2026-11-27", "2026-W48-5"), "not a date"),
    "wide digits": (replace("2026-11-27", "２０２６-11-27"), "not a date"),
    "no USD": (replace(USD_ROW, ""), "no rate of USD"),
    "no CNY": (replace(CNY_ROW, ""), "no rate of CNY"),
    "nested": (replace(USD_ROW, "<Cube currency='GBP' rate='1'>" + USD_ROW + "</Cube>"), "no rate of USD"),
    "twice": (replace(USD_ROW, USD_ROW + USD_ROW), "several rates of USD"),
    "lower case": (replace("'USD'", "'usd'"), "'usd' is not a currency"),
    "no currency": (replace("currency='JPY' ", ""), "'' is not a currency"),
    "zero": (replace("1.0859", "0.0000"), "not a positive number: '0.0000'"),
    "negative": (replace("1.0859", "-1.0859"), "not a positive number"),
    "not a number": (replace("1.0859", "NaN"), "not a positive number"),
    "infinite": (replace("1.0859", "Infinity"), "not a positive number"),
    "scientific": (replace("1.0859", "1e0"), "not a positive number"),
    "comma": (replace("1.0859", "1,0859"), "not a positive number"),
    "space": (replace("1.0859", " 1.0859"), "not a positive number"),
    "wide rate": (replace("1.0859", "１.0859"), "not a positive number"),
    "empty rate": (replace("1.0859", ""), "not a positive number"),
    "long rate": (replace("1.0859", "1." + "0" * 40), "not a positive number"),
    "swapped": (replace("1.0859", "78.512").replace("7.8512'", "1.0859'"), "implausible"),
    "other unit": (replace("7.8512", "785.12"), "implausible"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(name: str) -> None:
    text, why = REFUSED[name]
    with pytest.raises(
        UnexpectedResponse, match="unexpected response from the European Central Bank"
    ) as caught:
        wire.parse_reference_rates(text, URL, TODAY)
    assert why in caught.value.message, caught.value.message
    assert caught.value.url == URL
    assert URL in caught.value.hint


def test_comments_are_no_declarations() -> None:
    text = replace("<Cube>", "<!-- of the day --><Cube>")
    assert wire.parse_reference_rates(text, URL, TODAY) == wire.parse_reference_rates(FILE, URL, TODAY)


def test_deep_nesting_is_survived() -> None:
    deep = "<Cube>" * 5000 + "</Cube>" * 5000
    with pytest.raises(UnexpectedResponse):
        wire.parse_reference_rates(
            replace("<Cube time='2026-11-27'>", deep + "<Cube time='2026-11-27'>"), URL, TODAY
        )


def test_random_damage_is_refused_or_harmless() -> None:
    dice = random.Random(7)
    for _round in range(3000):
        text = list(FILE)
        for _change in range(dice.randrange(1, 6)):
            text[dice.randrange(len(text))] = dice.choice("<>&'\"/=!0123456789.-eE+USDCNY \0\x1b")
        try:
            rate = wire.parse_reference_rates("".join(text), URL, TODAY).to_rate()
        except UnexpectedResponse:
            continue
        assert wire.LOWEST <= rate.value <= wire.HIGHEST
        assert rate.at.date() <= TODAY
