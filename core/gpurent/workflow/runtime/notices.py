"""Selects the events to notify about, and builds the notices, from the settings and the Store alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from uuid import uuid4

from attrs import evolve, frozen

from gpurent.domain.events import Event, EventKind, Notice, NoticeLevel
from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Metered
from gpurent.errors import UsageError
from gpurent.locale import N_, _, join_list, use_language
from gpurent.locale.durations import format_duration
from gpurent.ports.services import SecretRegistry
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock, ProviderClocks
from gpurent.terminal_text import strip_terminal
from gpurent.workflow.runtime.settings import Settings

NEVER_SENT = frozenset({EventKind.PROGRESS, EventKind.JOB_OUTPUT})
_LEVELS = {
    EventKind.STEP_STARTED: NoticeLevel.DETAIL,
    EventKind.STEP_DONE: NoticeLevel.DETAIL,
    EventKind.WAITING: NoticeLevel.INFO,
    EventKind.LEASE_CHANGED: NoticeLevel.INFO,
    EventKind.PAYING: NoticeLevel.INFO,
    EventKind.JOB_STARTED: NoticeLevel.INFO,
    EventKind.CONNECTION_LOST: NoticeLevel.INFO,
    EventKind.CONNECTION_RESTORED: NoticeLevel.INFO,
    EventKind.TIME_LEFT: NoticeLevel.INFO,
    EventKind.TIMER: NoticeLevel.INFO,
    EventKind.TIME_LOW: NoticeLevel.WARNING,
    EventKind.WARNING: NoticeLevel.WARNING,
    EventKind.FAILED: NoticeLevel.WARNING,
    EventKind.TOP_UP: NoticeLevel.WARNING,
}
_LOST_STATES = frozenset({"failed", "expired", "gone"})
MAX_BODY_LENGTH = 2000
TITLES: Mapping[EventKind, str] = MappingProxyType(
    {
        EventKind.PAYING: N_("Paying"),
        EventKind.PAID: N_("Payment made"),
        EventKind.JOB_STARTED: N_("Job started"),
        EventKind.JOB_ENDED: N_("Job ended"),
        EventKind.CONNECTION_LOST: N_("Connection lost"),
        EventKind.CONNECTION_RESTORED: N_("Connection restored"),
        EventKind.TIME_LEFT: N_("Time left"),
        EventKind.TIMER: N_("Timer in the machine"),
        EventKind.TIME_LOW: N_("Time is running out"),
        EventKind.RELEASED: N_("Machine released"),
        EventKind.LEASE_CHANGED: N_("Lease changed"),
        EventKind.WARNING: N_("Warning"),
        EventKind.FAILED: N_("Trip failed"),
        EventKind.RENEWED: N_("Lease renewed"),
        EventKind.RESULTS_SAVED: N_("Results downloaded"),
        EventKind.TOP_UP: N_("Top-up needed"),
        EventKind.TOPPED_UP: N_("Top-up received"),
        EventKind.WAITING: N_("Waiting"),
        EventKind.TEST: N_("Test message"),
    }
)


def event_level(event: Event) -> NoticeLevel:
    """Return the level of an event: a lost machine is a warning, and an unlisted kind a notice."""
    if event.kind is EventKind.LEASE_CHANGED and event.data.get("state") in _LOST_STATES:
        return NoticeLevel.WARNING
    return _LEVELS.get(event.kind, NoticeLevel.NOTICE)


@frozen(kw_only=True)
class NotifyPolicy:
    """The ``[notify]`` settings: which events, in which language, and the timeout of a notifier in seconds.

    ``kinds`` None: every event of at least ``level``. ``added``: further events, which a project file asks for.
    """

    kinds: frozenset[EventKind] | None = None
    added: frozenset[EventKind] = frozenset()
    level: NoticeLevel = NoticeLevel.NOTICE
    language: str = ""
    timeout: float = 10.0

    def should_notify(self, event: Event) -> bool:
        if event.kind in NEVER_SENT:
            return False
        if event.kind in self.added:
            return True
        if self.kinds is not None:
            return event.kind in self.kinds
        return event_level(event).rank >= self.level.rank

    @classmethod
    def from_settings(cls, settings: Settings) -> NotifyPolicy:
        """Read the settings ``events``, ``level``, ``language``, ``timeout``; raises `UsageError` for a bad value."""
        names = settings.get("notify", "events").replace(",", " ").split()
        try:
            kinds = frozenset(EventKind(name) for name in names)
            level = NoticeLevel(settings.get("notify", "level", NoticeLevel.NOTICE.value))
            limit = float(settings.get("notify", "timeout", "10"))
        except ValueError as error:
            raise _settings_error(str(error)) from None
        if kinds & NEVER_SENT or not 0 < limit <= 300:
            raise _settings_error(
                _("progress and output are never sent; timeout must be between 0 and 300 seconds")
            )
        return cls(
            kinds=kinds or None, level=level, language=settings.get("notify", "language"), timeout=limit
        )


def _settings_error(why: str) -> UsageError:
    known = join_list(kind.value for kind in EventKind if kind not in NEVER_SENT)
    levels = join_list(level.value for level in NoticeLevel)
    return UsageError(
        _("[notify] in config.toml: {why}").format(why=why),
        hint=_("Events: {known}. Levels: {levels}.").format(known=known, levels=levels),
    )


@frozen
class NoticeBuilder:
    """Builds notices without any request. ``get_spending`` returns a lease's cost by the ledger, one per currency."""

    store: LeaseStore
    clock: Clock
    clocks: ProviderClocks
    secret_registry: SecretRegistry
    get_spending: Callable[[str], Awaitable[Sequence[Money]]]

    async def build_notice(self, event: Event, language: str = "") -> Notice:
        """Build the notice for ``event``. The event's own text stays in the language in which it was emitted."""
        lease = await self.store.find_lease(event.lease) if event.lease else None
        spent = await self.get_spending(lease.id) if lease is not None else ()
        with use_language(language):
            title = _(TITLES.get(event.kind, event.kind.value))
            lines = [
                event.text,
                *(self._describe_lease(lease, event, spent) if lease else ()),
                _suggest_command(event, lease),
            ]
        data = {
            key: self.sanitize(value) if isinstance(value, str) else value
            for key, value in event.data.items()
        }
        place = f" ({event.lease})" if event.lease else ""
        return Notice(
            id=uuid4().hex,
            level=event_level(event),
            title=self.sanitize(f"gpurent: {title}{place}").replace("\n", " "),
            body="\n".join(self.sanitize(line) for line in lines if line)[:MAX_BODY_LENGTH],
            event=evolve(event, text=self.sanitize(event.text), data=data),
        )

    async def build_test_notice(self, language: str = "") -> Notice:
        event = Event(kind=EventKind.TEST, at=self.clock.now(), text=_("This is a test."))
        return await self.build_notice(event, language)

    def sanitize(self, text: str) -> str:
        """Return ``text`` without secrets and control characters."""
        return self.secret_registry.redact(strip_terminal(text))

    def _describe_lease(self, lease: Lease, event: Event, charges: Sequence[Money]) -> list[str]:
        lines = [
            _("{lease} at {provider}: {gpu}, {price}").format(
                lease=lease.id,
                provider=lease.provider,
                gpu=lease.offer.hardware.gpu or "CPU",
                price=lease.offer.tariff.price,
            )
        ]
        spent = join_list(str(money) for money in charges if money.amount)
        if spent:
            lines.append(_("Spent so far according to the ledger: {spent}").format(spent=spent))
        if lease.is_over:
            lines.append(_("It no longer costs anything."))
        elif lease.expires_at is not None:
            left = format_duration(lease.expires_at - self.clocks.clock_of(lease.provider).now())
            lines.append(_("Time left: {span}").format(span=left))
        elif "minutes" not in event.data and isinstance(lease.offer.tariff, Metered):
            lines.append(_("It runs as long as the balance lasts."))
        return lines


def _suggest_command(event: Event, lease: Lease | None) -> str:
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
        case EventKind.FAILED if not lease.is_over:
            return _("It still costs money. Release it: gpurent release {lease}").format(lease=lease.id)
        case _:
            return _("See: gpurent show {lease}").format(lease=lease.id)
