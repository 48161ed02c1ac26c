"""A simulator of the daily reference file: new values on working days at 16:00 CET, none on weekends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import Evidence, ProviderSimulator, SimulatorContext, SimulatorLedgerEntry, SimulatorRoute
from gpurent_plugin_ecb import _

PATH = "/stats/eurofxref/eurofxref-daily.xml"
PUBLISHED_AFTER = timedelta(hours=15)  # UTC; summer time is left out
_DAY = timedelta(days=1)
_SATURDAY = 5
_FILE = """\
<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" \
xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
\t<gesmes:subject>Reference rates</gesmes:subject>
\t<gesmes:Sender>
\t\t<gesmes:name>European Central Bank</gesmes:name>
\t</gesmes:Sender>
\t<Cube>
\t\t<Cube time='{day}'>
{rows}
\t\t</Cube>
\t</Cube>
</gesmes:Envelope>
"""
_ROW = "\t\t\t<Cube currency='{code}' rate='{value}'/>"


class EcbSimulator(ProviderSimulator):
    """Serves the file of the last working day that the clock has passed.

    Settings: usd, cny (units per euro; they move a little from day to day by default), api (off: every request gets
    a 503). The bank's holidays are left out.
    """

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context

    def get_app(self) -> Starlette:
        return Starlette(routes=[WebRoute(PATH, self._serve_file, methods=["GET"])])

    def list_routes(self) -> Sequence[SimulatorRoute]:
        note = _("units of each currency per euro, of the last working day")
        return [SimulatorRoute(method="GET", path=PATH, evidence=Evidence.DOCUMENTED, note=note)]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url}

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        return ()

    def list_billed_machines(self) -> Sequence[str]:
        return ()

    async def tick(self) -> None:
        """Do nothing: the file follows from the clock alone."""

    async def _serve_file(self, request: Request) -> Response:
        if self._context.settings.get("api") == "off":
            return PlainTextResponse("closed", 503)
        return Response(self._make_file(), media_type="text/xml")

    def _make_file(self) -> str:
        day = find_published_day(self._context.clock.now())
        step = Decimal(day.toordinal() % 20)
        values = {
            "USD": self._context.settings.get("usd") or f"{Decimal('1.0850') + step / 10000}",
            "JPY": "169.45",
            "GBP": "0.84215",
            "CNY": self._context.settings.get("cny") or f"{Decimal('7.8400') + step / 1000}",
        }
        rows = "\n".join(_ROW.format(code=code, value=value) for code, value in values.items())
        return _FILE.format(day=day, rows=rows)


def find_published_day(now: datetime) -> date:
    """Return the last working day whose values are published at ``now``, UTC."""
    day = (now - PUBLISHED_AFTER).date()
    while day.weekday() >= _SATURDAY:
        day -= _DAY
    return day
