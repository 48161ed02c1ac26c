"""The rate source: one request per publication of the bank; the values are kept until the next one is due."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from gpurent.api import PluginContext, Rate, RateSource, Spent, UnexpectedResponse, begin_request
from gpurent_plugin_ecb import _, wire

STATE = "daily"
# When the new values are there: 16:00 in Frankfurt is 15:00 UTC in winter, and they may come some minutes late.
_DUE = timedelta(hours=15, minutes=30)
_DAY = timedelta(days=1)


class EcbRateSource(RateSource):
    """USD/CNY from the daily reference file."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def list_rates(self) -> Sequence[Rate]:
        kept = await self._find_kept()
        return [(kept or await self._download()).to_rate()]

    async def _download(self) -> wire.ReferenceRates:
        find_time = begin_request(self._context.clock)
        answer = await self._context.http.request("GET", wire.PATH)
        answer.raise_if_unavailable(_("the European Central Bank"))
        if answer.status != 200:
            raise UnexpectedResponse(
                _("the European Central Bank returned HTTP {status}").format(status=answer.status),
                url=answer.url,
                body=answer.text,
                spent=Spent.NO,
            )
        found = wire.parse_reference_rates(answer.text, answer.url, self._context.clock.now().date())
        record = {
            "url": self._context.settings["url"],
            "asked_at": find_time().isoformat(),
            "day": found.day.isoformat(),
            "USD": str(found.usd),
            "CNY": str(found.cny),
        }
        await self._context.state.put(STATE, json.dumps(record))
        return found

    async def _find_kept(self) -> wire.ReferenceRates | None:
        """Return the values of the last download, unless newer ones may have been published since."""
        text = await self._context.state.get(STATE)
        if text is None:
            return None
        now = self._context.clock.now()
        try:
            record = json.loads(text)
            is_current = record["url"] == self._context.settings["url"] and is_still_newest(
                datetime.fromisoformat(record["asked_at"]), now
            )
            return wire.make_reference_rates(record["day"], record, now.date()) if is_current else None
        except (ValueError, KeyError, TypeError):
            return None  # it was damaged, and is replaced by the next download


def is_still_newest(asked_at: datetime, now: datetime) -> bool:
    """Return whether nothing newer can have been published between ``asked_at`` and ``now``."""
    midnight = asked_at.replace(hour=0, minute=0, second=0, microsecond=0)
    due = midnight + _DUE
    return asked_at <= now < (due if asked_at < due else due + _DAY)
