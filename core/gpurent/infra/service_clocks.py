"""The clock of each service, learned from the ``Date`` of its responses: this computer's own may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from attrs import define, field, frozen

from gpurent.locale import _
from gpurent.ports.system import ProviderClock

# A date in a response has whole seconds.
_PRECISION = timedelta(seconds=1)
WARN_ABOVE = timedelta(minutes=1)


@define(eq=False)
class ServiceClocks:
    """Implements `gpurent.ports.system.ProviderClocks`. ``base`` is this computer's own clock, scaled in the sandbox.

    ``warn`` is told once that the clocks differ by more than `WARN_ABOVE`.
    """

    base: ProviderClock
    warn: Callable[[str], None] = lambda _text: None
    _offsets: dict[str, timedelta] = field(factory=dict, init=False)
    _has_warned: bool = field(default=False, init=False)

    def clock_of(self, service: str) -> ServiceClock:
        return ServiceClock(self, service)

    def get_offset(self, service: str) -> timedelta:
        """Return by how much the service's clock is ahead of ours, as far as its responses show it."""
        return self._offsets.get(service, timedelta())

    def time_request(self, service: str) -> Callable[[Mapping[str, str]], None]:
        """Begin a request to the service; call what is returned with the headers of the response when it arrives."""
        return partial(self._learn, service, self.base.now())

    def _learn(self, service: str, sent_at: datetime, headers: Mapping[str, str]) -> None:
        from gpurent.infra.http_headers import parse_date  # a listing sends no request

        date = parse_date(headers)
        if date is None:
            return
        known = self.get_offset(service)
        lowest, highest = date - self.base.now(), date + _PRECISION - sent_at
        offset = min(max(known, lowest), highest)
        self._offsets[service] = offset
        if abs(offset) > WARN_ABOVE and not self._has_warned:
            self._has_warned = True
            text = (
                _("this computer's clock is {minutes} min behind that of {service}; the service's is used")
                if offset > timedelta()
                else _(
                    "this computer's clock is {minutes} min ahead of that of {service}; the service's is used"
                )
            )
            self.warn(text.format(minutes=round(abs(offset) / timedelta(minutes=1)), service=service))


@frozen
class ServiceClock:
    """Implements `gpurent.ports.system.ProviderClock` for one service."""

    clocks: ServiceClocks
    service: str

    @property
    def _offset(self) -> timedelta:
        return self.clocks.get_offset(self.service)

    def now(self) -> datetime:
        return self.clocks.base.now() + self._offset

    async def sleep(self, span: timedelta) -> None:
        await self.clocks.base.sleep(span)

    def from_wall_time(self, at: datetime) -> datetime:
        return self.clocks.base.from_wall_time(at) + self._offset

    def to_wall_time(self, at: datetime) -> datetime:
        return self.clocks.base.to_wall_time(at - self._offset)
