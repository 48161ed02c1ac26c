"""How long leases last by what was seen last; in words, and as warnings.

`LastSeenTimeReader` reads the Store: nobody is asked, nothing heavy is loaded; `time_reader` asks.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money
from gpurent.domain.time_left import (
    TimeKind,
    TimeLeft,
    drains_balance,
    sum_prices,
    time_left_by_balance,
    time_left_by_lease,
)
from gpurent.errors import GpurentError, UsageError
from gpurent.locale import _
from gpurent.locale.durations import format_duration, parse_durations
from gpurent.ports.store import NoteStore, Store
from gpurent.ports.system import Clock
from gpurent.roles.entries import LeaseEntry
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings

_BALANCE_SCOPE = "balance-seen"
DEFAULT_THRESHOLDS = "60m, 15m, 5m"
_WARN_SECTION = "warn"
_SECOND = timedelta(seconds=1)


def format_time_left(time_left: TimeLeft) -> str:
    """The figure for people, in their language, short enough for tables."""
    if time_left.left is not None:
        text = format_duration(time_left.left)
        return _("files: {span}").format(span=text) if time_left.kind is TimeKind.KEPT else text
    return {
        TimeKind.OVER: "-",
        TimeKind.UNKNOWN: _("unknown"),
        TimeKind.DEPOSIT: _("while the deposit lies"),
        TimeKind.OPEN: _("open"),
    }.get(time_left.kind, "-")


def describe_time_left(time_left: TimeLeft) -> str:
    """The figure with its end and its note, in one line."""
    text = _("time left: {words}").format(words=format_time_left(time_left))
    if time_left.until is not None:
        text += _(", until {until:%Y-%m-%d %H:%M} UTC").format(until=time_left.until)
    return f"{text} ({time_left.note})" if time_left.note else text


def time_left_data(time_left: TimeLeft) -> dict[str, str | int]:
    """The figure as an event's data: spans in whole seconds, what is not known left out."""
    found: dict[str, str | int] = {"decided_by": time_left.kind.value}
    if time_left.left is not None:
        found.update(
            seconds=time_left.left // timedelta(seconds=1), minutes=time_left.left // timedelta(minutes=1)
        )
    if time_left.until is not None:
        found["until"] = time_left.until.isoformat()
    if time_left.burn is not None:
        found["burn"] = str(time_left.burn)
    return found


def unknown_time_left(reason: str) -> TimeLeft:
    return TimeLeft(kind=TimeKind.UNKNOWN, note=reason)


@frozen
class LastSeenTimeReader:
    """How long leases last by the balances that were noted; and which leases drain which account."""

    store: Store
    plugins: Plugins
    clock: Clock

    def get_last_seen(self, leases: Sequence[Lease]) -> Mapping[str, TimeLeft]:
        """One figure for each lease's id: its own, or by its account's balance as it was last seen."""
        found, accounts = self.group_by_account(leases)
        for billing, sharing in accounts.items():
            found.update(
                dict.fromkeys((lease.id for lease in sharing), self._estimate_from_saved(billing, sharing))
            )
        return found

    def group_by_account(self, leases: Sequence[Lease]) -> tuple[dict[str, TimeLeft], dict[str, list[Lease]]]:
        """The figures that need no account, by the lease's id, and the other leases by the account they drain."""
        now = self.clock.now()
        found: dict[str, TimeLeft] = {}
        accounts: dict[str, list[Lease]] = {}
        for lease in leases:
            own = time_left_by_lease(lease, now)
            billing = self._find_billing_name(lease)
            if own is not None:
                found[lease.id] = own
            elif billing is None:
                found[lease.id] = unknown_time_left(
                    _("no plugin for {provider}").format(provider=lease.provider)
                )
            else:
                accounts.setdefault(billing, []).append(lease)
        return found, accounts

    def list_draining_leases(self, billing: str, named: Sequence[Lease]) -> list[Lease]:
        """All leases of ours on one account, the named ones as they were given."""
        ours = {
            lease.id: lease
            for lease in self.store.list_leases()
            if self._find_billing_name(lease) == billing
            and drains_balance(lease)
            and self.plugins.is_known_to_provider(lease)
        }
        return list({**ours, **{lease.id: lease for lease in named}}.values())

    def save_balance(self, billing: str, money: Money, at: datetime) -> None:
        """Note the balance of an account, in the currency that its leases burn."""
        code, exponent = money.currency.code, money.currency.exponent
        seen = {"amount": money.amount, "code": code, "exponent": exponent, "at": at.isoformat()}
        self.store.put_note(_BALANCE_SCOPE, billing, json.dumps(seen))

    def _find_billing_name(self, lease: Lease) -> str | None:
        """The billing entry of the lease's provider; None where its plugin is not installed."""
        entry = self.plugins.registry.get_entries(LeaseEntry).get(lease.provider)
        return entry.billing if entry is not None else None

    def _estimate_from_saved(self, billing: str, named: Sequence[Lease]) -> TimeLeft:
        noted = self.store.get_note(_BALANCE_SCOPE, billing)
        if noted is None:
            return unknown_time_left(_("nobody was asked"))
        seen = json.loads(noted)
        try:
            burn = sum_prices(
                [lease.offer.tariff.price for lease in self.list_draining_leases(billing, named)]
            )
        except GpurentError as error:
            return unknown_time_left(error.message)
        money = Money(seen["amount"], Currency(seen["code"], seen["exponent"]))
        if money.currency != burn.currency:
            return unknown_time_left(_("nobody was asked"))
        at = datetime.fromisoformat(seen["at"])
        note = _("by the balance of {at:%m-%d %H:%M} UTC").format(at=at)
        return time_left_by_balance(money, at, burn, self.clock.now(), note)


def passed_thresholds(left: timedelta | None, limits: Collection[timedelta]) -> tuple[timedelta, ...]:
    return tuple(limit for limit in limits if left is not None and left < limit)


@frozen(eq=False)
class TimeAlarms:
    """Warnings that time runs out: each threshold once for each lease, also when several processes watch it."""

    store: NoteStore
    settings: Settings
    events: EventEmitter

    def get_thresholds(self, provider: str) -> tuple[timedelta, ...]:
        """``at`` of ``[warn.<provider>]``, else of ``[warn]``; longest first. ``none`` switches warnings off."""
        text = self.settings.get(f"{_WARN_SECTION}.{provider}", "at") or self.settings.get(
            _WARN_SECTION, "at", DEFAULT_THRESHOLDS
        )
        if text.strip().lower() in ("", "none", "off", "no"):
            return ()
        try:
            return parse_durations(text)
        except ValueError:
            raise UsageError(
                _("[warn] at = {text} is no list of times").format(text=repr(text)),
                hint=_('Write it so: at = "60m, 15m, 5m"'),
            ) from None

    def warn_if_low(self, lease: Lease, figure: TimeLeft, *, trip: str = "") -> timedelta | None:
        """Emit `EventKind.TIME_LOW` for a threshold that was newly passed; gives it, None when there is nothing new.

        Several passed at once are one warning, of the shortest. A threshold is warned of again after the time rose
        above it. What was warned of is in the Store; whoever writes it there first emits, so that two watchers never
        both do.
        """
        if figure.left is None:
            return None
        fresh = self._record_passed(
            lease.id, passed_thresholds(figure.left, self.get_thresholds(lease.provider))
        )
        if not fresh:
            return None
        from gpurent.domain.events import EventKind  # listings, which emit nothing, do not need it

        limit = min(fresh)
        self.events.emit(
            EventKind.TIME_LOW,
            _format_alarm(figure),
            trip=trip,
            lease=lease.id,
            step="",
            provider=lease.provider,
            threshold=limit,
            **time_left_data(figure),
        )
        return limit * _SECOND

    def _record_passed(self, lease_id: str, limits: Collection[timedelta]) -> set[int]:
        """Note the passed thresholds; those that were not noted before, in seconds."""
        passed = {limit // _SECOND for limit in limits}
        text = " ".join(str(seconds) for seconds in sorted(passed))
        while True:
            noted = self.store.get_note(_WARN_SECTION, lease_id)
            before = {int(seconds) for seconds in (noted or "").split()}
            if passed == before:
                return set()
            if self.store.swap_note(_WARN_SECTION, lease_id, noted, text):
                return passed - before


def _format_alarm(figure: TimeLeft) -> str:
    if figure.kind is TimeKind.KEPT:
        text = _("its files are deleted in {span}; start it again to bring them home")
    elif figure.kind is TimeKind.BALANCE:
        text = _("the balance lasts {span}; top up, else the server is shut")
    else:
        text = _("{span} left; renew, else the server is shut")
    return text.format(span=format_duration(figure.left or timedelta()))
