"""The daily reference file of the European Central Bank -> a dated USD/CNY rate. No I/O.

The file is XML: units of each currency per euro, all of one day. Source: its documentation, of 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.api import CNY, USD, Rate, UnexpectedResponse
from gpurent_plugin_ecb import _

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PATH = "/stats/eurofxref/eurofxref-daily.xml"
SOURCE = "European Central Bank"
# The file has some thirty currencies in less than 2 kB.
MAX_CHARS = 64 * 1024
# The bank gives about five digits; these add no error that could be seen in them.
DECIMALS = 6
# A value outside is no exchange rate of these currencies, but swapped or for other units.
LOWEST, HIGHEST = Decimal("0.5"), Decimal(50)
_ENVELOPE = "{http://www.gesmes.org/xml/2002-08-01}Envelope"
_CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"
# Published at about 16:00 in Frankfurt, which is 14:00 UTC in summer and 15:00 in winter: never in the future.
_TIME_OF_DAY = time(14, tzinfo=UTC)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CODE = re.compile(r"[A-Z]{3}", re.ASCII)
_VALUE = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
# A comment is harmless; anything else could declare an entity, or be text that is no markup.
_DECLARATION = re.compile(r"<!(?!--)")


class BadRates(ValueError):
    """The text is not the file that the bank documents; says what is wrong."""


@frozen(kw_only=True)
class ReferenceRates:
    """What one euro is worth on ``day``, in USD and in CNY."""

    day: date
    usd: Decimal
    cny: Decimal

    def to_rate(self) -> Rate:
        """Return USD/CNY, rounded half to even to `DECIMALS` decimals from the exact quotient."""
        exact = Fraction(self.cny) / Fraction(self.usd)
        value = Decimal(round(exact * 10**DECIMALS)).scaleb(-DECIMALS)
        return Rate(USD, CNY, value, datetime.combine(self.day, _TIME_OF_DAY), SOURCE)


def parse_reference_rates(text: str, url: str, today: date) -> ReferenceRates:
    """Parse the daily file; raises `UnexpectedResponse` for anything else, and for a day after ``today`` (UTC)."""
    try:
        day, values = parse_file(text)
        return make_reference_rates(day, values, today)
    except BadRates as error:
        raise UnexpectedResponse(
            _("unexpected response from the European Central Bank: {why}").format(why=error),
            url=url,
            body=text,
        ) from None


def make_reference_rates(day: str, values: Mapping[str, str], today: date) -> ReferenceRates:
    """Check a day and the values by currency; raises `BadRates`."""
    if not _DATE.fullmatch(day):
        raise BadRates(_("{text} is not a date").format(text=repr(day[:40])))
    try:
        found = date.fromisoformat(day)
    except ValueError:
        raise BadRates(_("{text} is not a date").format(text=repr(day))) from None
    if found > today:
        raise BadRates(_("the rates are of {day}, which has not come yet").format(day=found))
    rates = ReferenceRates(day=found, usd=_get_value(values, "USD"), cny=_get_value(values, "CNY"))
    if not LOWEST <= rates.cny / rates.usd <= HIGHEST:
        raise BadRates(
            _("{usd} USD and {cny} CNY for one euro are implausible").format(usd=rates.usd, cny=rates.cny)
        )
    return rates


def _get_value(values: Mapping[str, str], code: str) -> Decimal:
    if code not in values:
        raise BadRates(_("there is no rate of {code}").format(code=code))
    text = values[code]
    value = Decimal(text) if _VALUE.fullmatch(text) else Decimal(0)
    if value <= 0:
        raise BadRates(
            _("the rate of {code} is not a positive number: {text}").format(code=code, text=repr(text[:40]))
        )
    return value


def parse_file(text: str) -> tuple[str, dict[str, str]]:
    """Return the day and the values by currency, as text; raises `BadRates`."""
    root = _parse_xml(text)
    if root.tag != _ENVELOPE:
        raise BadRates(_("the document is not the file of reference rates"))
    days = [day for cube in root.findall(_CUBE) for day in cube.findall(_CUBE)]
    if len(days) != 1:
        raise BadRates(_("rates of one day expected, not of {count}").format(count=len(days)))
    values: dict[str, str] = {}
    for cube in days[0].findall(_CUBE):
        code, value = cube.get("currency", ""), cube.get("rate", "")
        if not _CODE.fullmatch(code):
            raise BadRates(_("{text} is not a currency").format(text=repr(code[:40])))
        if code in values:
            raise BadRates(_("there are several rates of {code}").format(code=code))
        values[code] = value
    return days[0].get("time", ""), values


def _parse_xml(text: str) -> Element:
    if len(text) > MAX_CHARS:
        raise BadRates(_("the file is too large"))
    if _DECLARATION.search(text):
        raise BadRates(_("the file has declarations, which are not accepted"))
    from xml.etree import ElementTree as ET

    try:
        return ET.fromstring(text)  # noqa: S314 - declarations are refused above
    except (ET.ParseError, ValueError):
        raise BadRates(_("the file is not XML")) from None
