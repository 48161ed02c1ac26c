"""Which events are worth a notice, and what it says, by the settings and the Store alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from uuid import uuid4

from attrs import evolve, frozen

from gpurent.domain.events import Event, EventKind, Level, Notice
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.domain.terminal_text import strip_terminal
from gpurent.errors import UsageError
from gpurent.locale import N_, _, speaking
from gpurent.locale.spans import span_text
from gpurent.ports.services import SecretRegistry
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock
from gpurent.workflow.runtime.settings import Settings

NEVER = frozenset({EventKind.PROGRESS, EventKind.JOB_OUTPUT})
_LEVELS = {
    EventKind.STEP_BEGUN: Level.DETAIL,
    EventKind.STEP_DONE: Level.DETAIL,
    EventKind.WAITING: Level.INFO,
    EventKind.LEASE_CHANGED: Level.INFO,
    EventKind.PAYING: Level.INFO,
    EventKind.JOB_STARTED: Level.INFO,
    EventKind.LINE_LOST: Level.INFO,
    EventKind.LINE_BACK: Level.INFO,
    EventKind.TIME_LEFT: Level.INFO,
    EventKind.TIMER: Level.INFO,
    EventKind.TIME_LOW: Level.WARNING,
    EventKind.WARNING: Level.WARNING,
    EventKind.FAILED: Level.WARNING,
    EventKind.TOP_UP: Level.WARNING,
}
_LOST = frozenset({"failed", "expired", "gone"})
LONGEST = 2000
TITLES: Mapping[EventKind, str] = MappingProxyType(
    {
        EventKind.PAYING: N_("Paying"),
        EventKind.PAID: N_("Money was paid"),
        EventKind.JOB_STARTED: N_("The job runs"),
        EventKind.JOB_ENDED: N_("The job has ended"),
        EventKind.LINE_LOST: N_("The line is lost"),
        EventKind.LINE_BACK: N_("The line is back"),
        EventKind.TIME_LEFT: N_("Time left"),
        EventKind.TIMER: N_("The machine's timer"),
        EventKind.TIME_LOW: N_("Little time is left"),
        EventKind.RELEASED: N_("The machine was given back"),
        EventKind.LEASE_CHANGED: N_("A lease changed"),
        EventKind.WARNING: N_("Warning"),
        EventKind.FAILED: N_("The trip failed"),
        EventKind.RENEWED: N_("A lease was renewed"),
        EventKind.SAVED: N_("Results were saved"),
        EventKind.TOP_UP: N_("Please top up"),
        EventKind.TOPPED_UP: N_("The money has arrived"),
        EventKind.WAITING: N_("Waiting"),
        EventKind.TEST: N_("A test message"),
    }
)


def level_of(event: Event) -> Level:
    """A machine that was lost is a warning; a kind that is not in the table is a notice."""
    if event.kind is EventKind.LEASE_CHANGED and event.data.get("state") in _LOST:
        return Level.WARNING
    return _LEVELS.get(event.kind, Level.NOTICE)


@frozen(kw_only=True)
class NotifyPolicy:
    """``[notify]``: which events, in which language, and how many seconds a notifier has for one.

    ``kinds`` None: every event of at least ``level``.
    """

    kinds: frozenset[EventKind] | None = None
    level: Level = Level.NOTICE
    language: str = ""
    limit: float = 10.0

    def wants(self, event: Event) -> bool:
        if event.kind in NEVER:
            return False
        if self.kinds is not None:
            return event.kind in self.kinds
        return level_of(event).rank >= self.level.rank

    @classmethod
    def read(cls, settings: Settings) -> NotifyPolicy:
        """By the settings ``events``, ``level``, ``language``, ``limit``; what they cannot mean is a `UsageError`."""
        names = settings.value("notify", "events").replace(",", " ").split()
        try:
            kinds = frozenset(EventKind(name) for name in names)
            level = Level(settings.value("notify", "level", Level.NOTICE.value))
            limit = float(settings.value("notify", "limit", "10"))
        except ValueError as error:
            raise _refused(str(error)) from None
        if kinds & NEVER or not 0 < limit <= 300:
            raise _refused(_("progress and output are never sent; the limit lies between 0 and 300 seconds"))
        return cls(
            kinds=kinds or None, level=level, language=settings.value("notify", "language"), limit=limit
        )


def _refused(why: str) -> UsageError:
    known = ", ".join(kind.value for kind in EventKind if kind not in NEVER)
    levels = ", ".join(level.value for level in Level)
    return UsageError(
        _("[notify] in config.toml: {why}").format(why=why),
        hint=_("Events: {known}. Levels: {levels}.").format(known=known, levels=levels),
    )


@frozen
class NoticeWriter:
    """Writes notices; asks nobody. ``spending`` gives what a lease cost by the ledger, one amount a currency."""

    store: LeaseStore
    clock: Clock
    hidden: SecretRegistry
    spending: Callable[[str], Sequence[Money]]

    def write_notice(self, event: Event, language: str = "") -> Notice:
        """The message about ``event``. The event's own text stays in the language in which it was emitted."""
        lease = self.store.lease(event.lease) if event.lease else None
        with speaking(language):
            title = _(TITLES.get(event.kind, event.kind.value))
            lines = [event.text, *(self._describe(lease, event) if lease else ()), _advice(event, lease)]
        data = {
            key: self.clean(value) if isinstance(value, str) else value for key, value in event.data.items()
        }
        place = f" ({event.lease})" if event.lease else ""
        return Notice(
            id=uuid4().hex,
            level=level_of(event),
            title=self.clean(f"gpurent: {title}{place}").replace("\n", " "),
            body="\n".join(self.clean(line) for line in lines if line)[:LONGEST],
            event=evolve(event, text=self.clean(event.text), data=data),
        )

    def write_test_notice(self, language: str = "") -> Notice:
        event = Event(kind=EventKind.TEST, at=self.clock.now(), text=_("This is a test."))
        return self.write_notice(event, language)

    def clean(self, text: str) -> str:
        """``text`` without secrets and control characters."""
        return self.hidden.scrub(strip_terminal(text))

    def _describe(self, lease: Lease, event: Event) -> list[str]:
        lines = [
            _("{lease} at {provider}: {gpu}, {price}").format(
                lease=lease.id,
                provider=lease.provider,
                gpu=lease.offer.hardware.gpu or "CPU",
                price=lease.offer.tariff.price,
            )
        ]
        spent = ", ".join(str(money) for money in self.spending(lease.id) if money.amount)
        if spent:
            lines.append(_("Spent by the books so far: {spent}").format(spent=spent))
        if lease.over:
            lines.append(_("It costs nothing any more."))
        elif lease.expires_at is not None:
            left = span_text(lease.expires_at - self.clock.now())
            lines.append(_("Time left: {span}").format(span=left))
        elif "minutes" not in event.data and isinstance(lease.offer.tariff, Metered):
            lines.append(_("It runs while the balance lasts."))
        return lines


def _advice(event: Event, lease: Lease | None) -> str:
    if lease is None:
        return ""
    metered = isinstance(lease.offer.tariff, Metered)
    match event.kind:
        case EventKind.TIME_LOW if metered:
            return _("More time: gpurent topup {provider} AMOUNT").format(provider=lease.provider)
        case EventKind.TIME_LOW:
            return _("More time: gpurent renew {lease} --for 1h").format(lease=lease.id)
        case EventKind.RELEASED | EventKind.PAID:
            return _("What it cost: gpurent receipts {lease}").format(lease=lease.id)
        case EventKind.JOB_ENDED:
            return _("Its output: gpurent logs {lease}").format(lease=lease.id)
        case EventKind.FAILED if not lease.over:
            return _("It still costs money. Give it back: gpurent release {lease}").format(lease=lease.id)
        case _:
            return _("See: gpurent show {lease}").format(lease=lease.id)
