"""Notifies users who are away: every notifier in use, each in its own thread, none in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import cached_property, partial
from time import monotonic

from attrs import define, evolve, field

from gpurent.domain.events import Event, EventKind, Notice
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.ports.store import TripStore
from gpurent.roles.entries import NotifierEntry
from gpurent.workflow.runtime.delivery_queue import (
    Delivery,
    DeliveryQueue,
    Outcome,
    filter_streams,
    restore_streams,
)
from gpurent.workflow.runtime.notices import NoticeWriter, NotifyPolicy
from gpurent.workflow.runtime.plugins import Plugins, configured_entries
from gpurent.workflow.runtime.settings import Settings

log = logging.getLogger("gpurent.notify")
# Real seconds in which the same warning is sent once.
SAME = 600.0


@define(eq=False)
class ConfiguredNotifiers:
    """``hide``: from now on nobody sees the secret settings of an entry."""

    plugins: Plugins
    settings: Settings
    hide: Callable[[NotifierEntry], None]

    @cached_property
    def entries(self) -> tuple[NotifierEntry, ...]:
        found = tuple(configured_entries(self.plugins, self.settings, NotifierEntry))
        for entry in found:
            self.hide(entry)
        return found

    def choose(self, name: str) -> tuple[NotifierEntry, ...]:
        """The one called ``name``, or all in use when it is empty; none: a `UsageError` with what to set."""
        if name:
            self.plugins.registry.entry(NotifierEntry, name)
        chosen = tuple(entry for entry in self.entries if name in ("", entry.name))
        if not chosen:
            raise UsageError(
                _("{name} is not set up").format(name=name) if name else _("no notifier is set up"),
                hint=self._settings_hint(name),
            )
        return chosen

    def send(self, entry: NotifierEntry, notice: Notice) -> None:
        """Blocks until it was taken; any error says that it was not."""
        self.plugins.build(entry).notify(notice)

    def _settings_hint(self, name: str) -> str:
        lines = []
        for entry in self.plugins.registry.entries(NotifierEntry).values():
            if name in ("", entry.name):
                needed = [field.name for field in entry.settings if not field.optional and not field.default]
                lines += [f"[{entry.name}]", *(f'{key} = "…"' for key in needed)]
        if not lines:
            return _("Install a plugin that brings a notifier; what is there: gpurent plugins")
        return _("Write into config.toml:") + "\n" + "\n".join(lines)


@define(eq=False)
class Notifications:
    """`receive` is an event subscriber. ``show_warning``: at the terminal alone, a notifier would hear of itself."""

    notifiers: ConfiguredNotifiers
    writer: NoticeWriter
    settings: Settings
    store: TripStore
    show_warning: Callable[[str], None]
    _queues: dict[str, DeliveryQueue[Notice]] = field(factory=dict, init=False)
    _failing: set[str] = field(factory=set, init=False)
    _sent: dict[tuple[str, str, str], float] = field(factory=dict, init=False)
    _outcomes: list[Outcome] = field(factory=list, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)

    @cached_property
    def policy(self) -> NotifyPolicy:
        """The user's choice; a setting that means nothing leaves the default one, and a warning."""
        try:
            return NotifyPolicy.read(self.settings)
        except UsageError as error:
            self._warn(error.message)
            return NotifyPolicy()

    def receive(self, event: Event) -> None:
        """Queue ``event`` for everybody in use, if the user wants to hear of it; never raises and never waits."""
        try:
            if not self._wants(event):
                return
            notice = self.writer.write_notice(event, self.policy.language)
        except Exception as error:  # noqa: BLE001 - a message that cannot be written must not stop a trip
            log.warning("no notice of %s: %s", event.kind.value, type(error).__name__)
            return
        self._loop = self._loop or _running_loop()
        filter_streams()
        for entry in self.notifiers.entries:
            if entry.name not in self._queues:
                send = partial(self.notifiers.send, entry)
                limit = self.policy.limit
                self._queues[entry.name] = DeliveryQueue(entry.name, send, limit, self._take_outcome)
            self._queues[entry.name].put(notice)

    def _wants(self, event: Event) -> bool:
        return (
            bool(self.notifiers.entries)
            and self._policy_of(event.trip).wants(event)
            and not self._repeated(event)
        )

    def _policy_of(self, trip: str) -> NotifyPolicy:
        """The trip's own choice of events, where its project file makes one."""
        record = self.store.trip(trip) if trip else None
        if record is None or record.spec.notify is None:
            return self.policy
        return evolve(self.policy, kinds=frozenset(EventKind(name) for name in record.spec.notify))

    def _repeated(self, event: Event) -> bool:
        """Whether the same was sent a short while ago: a service that is away is not worth a message a minute."""
        now = monotonic()
        self._sent = {key: at for key, at in self._sent.items() if now - at < SAME}
        key = (event.kind.value, event.lease, event.text)
        again = key in self._sent and event.kind is EventKind.WARNING
        self._sent[key] = now
        return again

    def _take_outcome(self, outcome: Outcome) -> None:
        """In a queue's thread: hand it to the event loop, which may write to the terminal."""
        self._outcomes.append(outcome)
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._report_outcomes)
            except RuntimeError:  # closed meanwhile: it is reported nowhere, the command is over
                log.debug("%s answered after the end", outcome.name)

    def _report_outcomes(self) -> None:
        """Warn of a notifier when it begins to fail; its later failures are silent until it works again."""
        while self._outcomes:
            outcome = self._outcomes.pop(0)
            if outcome.good and outcome.name in self._failing:
                self._failing.discard(outcome.name)
                log.info("%s works again", outcome.name)
            elif not outcome.good and outcome.name not in self._failing:
                self._failing.add(outcome.name)
                text = _("the notifier {name} does not work: {why}")
                self._warn(text.format(name=outcome.name, why=outcome.why))

    def _warn(self, text: str) -> None:
        text = self.writer.clean(text)
        log.warning("%s", text)
        self.show_warning(text)

    async def close(self) -> None:
        """Wait until everything is sent, but no longer than one notice may take; say what was not."""
        if not self._queues:
            return
        end = monotonic() + self.policy.limit
        for queue in self._queues.values():
            await asyncio.to_thread(queue.drain, max(0.0, end - monotonic()))
        self._report_outcomes()
        for queue in self._queues.values():
            missed = queue.left + queue.dropped
            if missed:
                self._warn(_("{name}: {count} messages were not sent").format(name=queue.name, count=missed))
        if not any(queue.left for queue in self._queues.values()):
            restore_streams()

    async def test(self, name: str = "") -> list[Outcome]:
        """Send a test message by ``name``, or by everybody in use, side by side; how each of them took it."""
        policy = NotifyPolicy.read(self.settings)
        chosen = self.notifiers.choose(name)
        notice = self.writer.write_test_notice(policy.language)
        filter_streams()
        try:
            sent = [Delivery(x.name, partial(self.notifiers.send, x), notice, policy.limit) for x in chosen]
            found = [await asyncio.to_thread(delivery.outcome) for delivery in sent]
        finally:
            restore_streams()
        return [evolve(outcome, why=self.writer.clean(outcome.why)) for outcome in found]


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
