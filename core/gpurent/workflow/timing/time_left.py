"""How long leases last, from last known balances; as text, and as warnings.

`LastSeenTimeReader` only reads the Store and imports nothing heavy; `time_reader` makes requests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import UnitPrice
from gpurent.domain.provider_names import list_sections
from gpurent.domain.time_left import (
    TimeKind,
    TimeLeft,
    drains_balance,
    sum_prices,
    time_left_by_balance,
    time_left_by_lease,
)
from gpurent.domain.volume import Volume
from gpurent.errors import GpurentError, UsageError
from gpurent.locale import _
from gpurent.locale.durations import format_duration, parse_durations
from gpurent.ports.store import Store
from gpurent.ports.system import ProviderClocks
from gpurent.ports.watch_store import ThresholdStore
from gpurent.roles.entries import LeaseEntry
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.settings import Settings

DEFAULT_THRESHOLDS = "60m, 15m, 5m"
_WARN_SECTION = "warn"
_SECOND = timedelta(seconds=1)


def format_time_left(time_left: TimeLeft) -> str:
    """Format the time left in the user's language, short enough for tables."""
    if time_left.left is not None:
        text = format_duration(time_left.left)
        return _("files: {span}").format(span=text) if time_left.kind is TimeKind.KEPT else text
    return {
        TimeKind.OVER: "-",
        TimeKind.UNKNOWN: _("unknown"),
        TimeKind.DEPOSIT: _("while the deposit is held"),
        TimeKind.OPEN: _("open-ended"),
    }.get(time_left.kind, "-")


def describe_time_left(time_left: TimeLeft) -> str:
    """Describe the time left with its end and its note, on one line."""
    text = _("time left: {words}").format(words=format_time_left(time_left))
    if time_left.until is not None:
        text += _(", until {until:%Y-%m-%d %H:%M} UTC").format(until=time_left.until)
    return f"{text} ({time_left.note})" if time_left.note else text


def time_left_data(time_left: TimeLeft) -> dict[str, str | int]:
    """Return the time left as event data: spans in whole seconds; what is unknown is omitted."""
    found: dict[str, str | int] = {"decided_by": time_left.kind.value}
    if time_left.left is not None:
        found.update(
            seconds=time_left.left // timedelta(seconds=1), minutes=time_left.left // timedelta(minutes=1)
        )
    if time_left.until is not None:
        found["until"] = time_left.until.isoformat()
    if time_left.burn_rate is not None:
        found["burn_rate"] = str(time_left.burn_rate)
    return found


def unknown_time_left(reason: str) -> TimeLeft:
    return TimeLeft(kind=TimeKind.UNKNOWN, note=reason)


@frozen
class LastSeenTimeReader:
    """Estimates how long leases last from saved balances, and knows which leases drain which account."""

    store: Store
    plugins: Plugins
    clocks: ProviderClocks

    async def get_last_seen(self, leases: Sequence[Lease]) -> Mapping[str, TimeLeft]:
        """Return the time left by lease id: the lease's own, or by the last known balance of its account."""
        found, accounts = self.group_by_account(leases)
        for billing, sharing in accounts.items():
            found.update(
                dict.fromkeys(
                    (lease.id for lease in sharing), await self._estimate_from_saved(billing, sharing)
                )
            )
        return found

    def group_by_account(self, leases: Sequence[Lease]) -> tuple[dict[str, TimeLeft], dict[str, list[Lease]]]:
        """Return the time left of leases that do not depend on an account, and the other leases by account."""
        found: dict[str, TimeLeft] = {}
        accounts: dict[str, list[Lease]] = {}
        for lease in leases:
            own = time_left_by_lease(lease, self.clocks.clock_of(lease.provider).now())
            billing = self._find_billing_name(lease)
            if own is not None:
                found[lease.id] = own
            elif self.plugins.is_of_other_account(lease):
                # The balance that can be asked for is not the one that this lease drains.
                found[lease.id] = unknown_time_left(
                    _("it belongs to the account {account}").format(account=lease.account)
                )
            elif billing is None:
                found[lease.id] = unknown_time_left(
                    _("no plugin for {provider}").format(provider=lease.provider)
                )
            else:
                accounts.setdefault(billing, []).append(lease)
        return found, accounts

    async def list_draining_leases(self, billing: str, named: Sequence[Lease]) -> list[Lease]:
        """Return all our leases that drain one account; those in ``named`` as given."""
        ours = {
            lease.id: lease
            for lease in await self.store.list_open_leases()
            if self._find_billing_name(lease) == billing
            and drains_balance(lease)
            and self.plugins.is_known_to_provider(lease)
            and not self.plugins.is_of_other_account(lease)
        }
        return list({**ours, **{lease.id: lease for lease in named}}.values())

    async def list_volume_prices(self, billing: str) -> list[UnitPrice]:
        """Return what each of our volumes costs that drain one account, as far as that is known."""
        return [
            volume.price
            for volume in await self.store.list_volumes()
            if not volume.is_over
            and volume.price is not None
            and volume.price.is_known
            and self._find_billing_name(volume) == billing
        ]

    def _find_billing_name(self, one: Lease | Volume) -> str | None:
        """Return the billing entry of its provider; None if its plugin is not installed."""
        entry = self.plugins.registry.find_entry(LeaseEntry, one.provider)
        return entry.billing if entry is not None else None

    async def _estimate_from_saved(self, billing: str, named: Sequence[Lease]) -> TimeLeft:
        # Whose account it is cannot be read from the vault here: a listing asks for no passphrase.
        seen = await self.store.find_last_balance(billing, "")
        if seen is None:
            return unknown_time_left(_("no balance on record"))
        try:
            leases = await self.list_draining_leases(billing, named)
            prices = await self.list_volume_prices(billing)
            burn = sum_prices([*(lease.current_price for lease in leases), *prices])
        except GpurentError as error:
            return unknown_time_left(error.message)
        if seen.money.currency != burn.currency:
            return unknown_time_left(_("no balance on record"))
        note = _("based on the balance at {at:%m-%d %H:%M} UTC").format(at=seen.at)
        return time_left_by_balance(seen.money, seen.at, burn, self.clocks.clock_of(billing).now(), note)


def passed_thresholds(left: timedelta | None, limits: Collection[timedelta]) -> tuple[timedelta, ...]:
    return tuple(limit for limit in limits if left is not None and left < limit)


@frozen(eq=False)
class TimeWarnings:
    """Warns when time is running out, once per threshold and lease, even if several processes watch it."""

    store: ThresholdStore
    settings: Settings
    events: EventEmitter

    def get_thresholds(self, provider: str) -> tuple[timedelta, ...]:
        """Return the thresholds ``at`` of ``[warn.<provider>]``, else of ``[warn]``, longest first.

        The values ``none``, ``off`` and ``no`` switch the warnings off.
        """
        sections = list_sections(_WARN_SECTION, provider)
        text = self.settings.get_first(sections, "at") or self.settings.get(
            _WARN_SECTION, "at", DEFAULT_THRESHOLDS
        )
        if text.strip().lower() in ("", "none", "off", "no"):
            return ()
        try:
            return parse_durations(text)
        except ValueError:
            raise UsageError(
                _("[warn] at = {text} is not a list of durations").format(text=repr(text)),
                hint=_('Write it like this: at = "60m, 15m, 5m"'),
            ) from None

    async def warn_if_low(self, lease: Lease, figure: TimeLeft, *, trip: str = "") -> timedelta | None:
        """Emit `EventKind.TIME_LOW` if a threshold was newly passed, and return that threshold; else None.

        Several passed at once give one warning, for the shortest. A threshold is armed again once the time left rises
        above it. Passed thresholds are in the Store, and the process that writes them first emits the event, so that
        two watchers never both do.
        """
        if figure.left is None:
            return None
        passed = passed_thresholds(figure.left, self.get_thresholds(lease.provider))
        fresh = await self.store.swap_passed_thresholds(lease.id, passed)
        if not fresh:
            return None
        from gpurent.domain.events import EventKind  # lazy: listings emit no events

        limit = min(fresh)
        self.events.emit(
            EventKind.TIME_LOW,
            _format_time_warning(figure),
            trip=trip,
            lease=lease.id,
            step="",
            provider=lease.provider,
            threshold=limit // _SECOND,
            **time_left_data(figure),
        )
        return limit


def _format_time_warning(figure: TimeLeft) -> str:
    if figure.kind is TimeKind.KEPT:
        text = _("its files will be deleted in {span}; restart it to download them")
    elif figure.kind is TimeKind.BALANCE:
        text = _("the balance lasts {span}; top up, or the machine will be shut down")
    else:
        text = _("{span} left; renew, or the machine will be shut down")
    return text.format(span=format_duration(figure.left or timedelta()))
