"""How long leases last by what was seen last; in words, and as warnings.

`LastSeenTime` reads the Store: nobody is asked, nothing heavy is loaded. `gpurent.workflow.timing.time_reader` asks.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money
from gpurent.domain.time_left import TimeKind, TimeLeft, burn_of, by_balance, by_itself, drains
from gpurent.errors import GpurentError, UsageError
from gpurent.locale import _
from gpurent.locale.spans import parse_spans, span_text
from gpurent.ports.store import NoteStore, Store
from gpurent.ports.system import Clock
from gpurent.roles.entries import LeaseEntry
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings

_SEEN = "balance-seen"
DEFAULT = "60m, 15m, 5m"
_WARN = "warn"
_SECOND = timedelta(seconds=1)


def words(figure: TimeLeft) -> str:
    """The figure for people, in their language, short enough for tables."""
    if figure.left is not None:
        text = span_text(figure.left)
        return _("files: {span}").format(span=text) if figure.kind is TimeKind.KEPT else text
    return {
        TimeKind.OVER: "-",
        TimeKind.UNKNOWN: _("unknown"),
        TimeKind.DEPOSIT: _("while the deposit lies"),
        TimeKind.OPEN: _("open"),
    }.get(figure.kind, "-")


def sentence(figure: TimeLeft) -> str:
    """The figure with its end and its note, in one line."""
    text = _("time left: {words}").format(words=words(figure))
    if figure.until is not None:
        text += _(", until {until:%Y-%m-%d %H:%M} UTC").format(until=figure.until)
    return f"{text} ({figure.note})" if figure.note else text


def figure_data(figure: TimeLeft) -> dict[str, str | int]:
    """The figure as an event's data: spans in whole seconds, what is not known left out."""
    found: dict[str, str | int] = {"decided_by": figure.kind.value}
    if figure.left is not None:
        found.update(seconds=figure.left // timedelta(seconds=1), minutes=figure.left // timedelta(minutes=1))
    if figure.until is not None:
        found["until"] = figure.until.isoformat()
    if figure.burn is not None:
        found["burn"] = str(figure.burn)
    return found


def unknown(reason: str) -> TimeLeft:
    return TimeLeft(kind=TimeKind.UNKNOWN, note=reason)


@frozen
class LastSeenTime:
    """How long leases last by the balances that were noted; and which leases drain which account."""

    store: Store
    plugins: Plugins
    clock: Clock

    def figures(self, leases: Sequence[Lease]) -> Mapping[str, TimeLeft]:
        """One figure for each lease's id: its own, or by its account's balance as it was last seen."""
        found, accounts = self.sort_by_account(leases)
        for billing, sharing in accounts.items():
            found.update(dict.fromkeys((lease.id for lease in sharing), self._by_note(billing, sharing)))
        return found

    def sort_by_account(self, leases: Sequence[Lease]) -> tuple[dict[str, TimeLeft], dict[str, list[Lease]]]:
        """The figures that need no account, by the lease's id, and the other leases by the account they drain."""
        now = self.clock.now()
        found: dict[str, TimeLeft] = {}
        accounts: dict[str, list[Lease]] = {}
        for lease in leases:
            own = by_itself(lease, now)
            billing = self._billing_name(lease)
            if own is not None:
                found[lease.id] = own
            elif billing is None:
                found[lease.id] = unknown(_("no plugin for {provider}").format(provider=lease.provider))
            else:
                accounts.setdefault(billing, []).append(lease)
        return found, accounts

    def draining(self, billing: str, named: Sequence[Lease]) -> list[Lease]:
        """All leases of ours on one account, the named ones as they were given."""
        ours = {
            lease.id: lease
            for lease in self.store.leases()
            if self._billing_name(lease) == billing and drains(lease) and self.plugins.is_listed(lease)
        }
        return list({**ours, **{lease.id: lease for lease in named}}.values())

    def note_balance(self, billing: str, money: Money, at: datetime) -> None:
        """Note the balance of an account, in the currency that its leases burn."""
        code, exponent = money.currency.code, money.currency.exponent
        seen = {"amount": money.amount, "code": code, "exponent": exponent, "at": at.isoformat()}
        self.store.put_note(_SEEN, billing, json.dumps(seen))

    def _billing_name(self, lease: Lease) -> str | None:
        """The billing entry of the lease's provider; None where its plugin is not installed."""
        entry = self.plugins.registry.entries(LeaseEntry).get(lease.provider)
        return entry.billing if entry is not None else None

    def _by_note(self, billing: str, named: Sequence[Lease]) -> TimeLeft:
        noted = self.store.note(_SEEN, billing)
        if noted is None:
            return unknown(_("nobody was asked"))
        seen = json.loads(noted)
        try:
            burn = burn_of([lease.offer.tariff.price for lease in self.draining(billing, named)])
        except GpurentError as error:
            return unknown(error.message)
        money = Money(seen["amount"], Currency(seen["code"], seen["exponent"]))
        if money.currency != burn.currency:
            return unknown(_("nobody was asked"))
        at = datetime.fromisoformat(seen["at"])
        note = _("by the balance of {at:%m-%d %H:%M} UTC").format(at=at)
        return by_balance(money, at, burn, self.clock.now(), note)


def below(left: timedelta | None, limits: Collection[timedelta]) -> tuple[timedelta, ...]:
    return tuple(limit for limit in limits if left is not None and left < limit)


@frozen(eq=False)
class TimeAlarms:
    """Warnings that time runs out: each threshold once for each lease, also when several processes watch it."""

    store: NoteStore
    settings: Settings
    events: EventEmitter

    def thresholds(self, provider: str) -> tuple[timedelta, ...]:
        """``at`` of ``[warn.<provider>]``, else of ``[warn]``; longest first. ``none`` switches warnings off."""
        text = self.settings.value(f"{_WARN}.{provider}", "at") or self.settings.value(_WARN, "at", DEFAULT)
        if text.strip().lower() in ("", "none", "off", "no"):
            return ()
        try:
            return parse_spans(text)
        except ValueError:
            raise UsageError(
                _("[warn] at = {text} is no list of times").format(text=repr(text)),
                hint=_('Write it so: at = "60m, 15m, 5m"'),
            ) from None

    def check(self, lease: Lease, figure: TimeLeft, *, trip: str = "") -> timedelta | None:
        """Emit `EventKind.TIME_LOW` for a threshold that was newly passed; gives it, None when there is nothing new.

        Several passed at once are one warning, of the shortest. A threshold is warned of again after the time rose
        above it. What was warned of is in the Store; whoever writes it there first emits, so that two watchers never
        both do.
        """
        if figure.left is None:
            return None
        fresh = self._mark_passed(lease.id, below(figure.left, self.thresholds(lease.provider)))
        if not fresh:
            return None
        from gpurent.domain.events import EventKind  # listings, which emit nothing, do not need it

        limit = min(fresh)
        self.events.emit(
            EventKind.TIME_LOW,
            _alarm_text(figure),
            trip=trip,
            lease=lease.id,
            step="",
            provider=lease.provider,
            threshold=limit,
            **figure_data(figure),
        )
        return limit * _SECOND

    def _mark_passed(self, lease_id: str, limits: Collection[timedelta]) -> set[int]:
        """Note the passed thresholds; those that were not noted before, in seconds."""
        passed = {limit // _SECOND for limit in limits}
        text = " ".join(str(seconds) for seconds in sorted(passed))
        while True:
            noted = self.store.note(_WARN, lease_id)
            before = {int(seconds) for seconds in (noted or "").split()}
            if passed == before:
                return set()
            if self.store.swap_note(_WARN, lease_id, noted, text):
                return passed - before


def _alarm_text(figure: TimeLeft) -> str:
    if figure.kind is TimeKind.KEPT:
        text = _("its files are deleted in {span}; start it again to bring them home")
    elif figure.kind is TimeKind.BALANCE:
        text = _("the balance lasts {span}; top up, else the server is shut")
    else:
        text = _("{span} left; renew, else the server is shut")
    return text.format(span=span_text(figure.left or timedelta()))
