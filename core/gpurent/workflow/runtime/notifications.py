"""Notifies users who are away, through every configured notifier, each in its own thread, without blocking."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import cached_property, partial
from time import monotonic

from attrs import define, evolve, field

from gpurent.domain.events import Event, EventKind, Notice
from gpurent.errors import UsageError
from gpurent.locale import _, ngettext
from gpurent.ports.store import TripStore
from gpurent.roles.entries import NotifierEntry
from gpurent.workflow.runtime.delivery_queue import (
    Delivery,
    DeliveryOutcome,
    DeliveryQueue,
    install_stream_filters,
    remove_stream_filters,
)
from gpurent.workflow.runtime.notices import NoticeBuilder, NotifyPolicy
from gpurent.workflow.runtime.plugins import Plugins, iter_configured_entries
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.waiting import start_detached

log = logging.getLogger("gpurent.notify")
# Identical warnings within this many real seconds are sent only once.
REPEAT_SECONDS = 600.0
# The outcome of a delivery that takes all its time is known a moment later.
_OUTCOME_SECONDS = 0.5


@define(eq=False)
class ConfiguredNotifiers:
    """The configured notifiers. ``hide_settings`` registers the secret settings of an entry for redaction."""

    plugins: Plugins
    settings: Settings
    hide_settings: Callable[[NotifierEntry], None]

    @cached_property
    def entries(self) -> tuple[NotifierEntry, ...]:
        found = tuple(iter_configured_entries(self.plugins, self.settings, NotifierEntry))
        for entry in found:
            self.hide_settings(entry)
        return found

    def select_notifiers(self, name: str) -> tuple[NotifierEntry, ...]:
        """Return the notifier ``name``, or all if it is empty.

        Raises `UsageError` if none is configured, with what to set.
        """
        if name:
            self.plugins.registry.get_entry(NotifierEntry, name)
        chosen = tuple(entry for entry in self.entries if name in ("", entry.name))
        if not chosen:
            raise UsageError(
                _("{name} is not set up").format(name=name) if name else _("no notifier is set up"),
                hint=self._settings_hint(name),
            )
        return chosen

    def send_notice(self, entry: NotifierEntry, notice: Notice) -> None:
        """Send a notice; return when it was accepted. Any exception means that it was not."""
        self.plugins.build(entry).notify(notice)

    def _settings_hint(self, name: str) -> str:
        lines = []
        for entry in self.plugins.registry.get_entries(NotifierEntry).values():
            if name in ("", entry.name):
                needed = [field.name for field in entry.settings if not field.optional and not field.default]
                lines += [f"[{entry.name}]", *(f'{key} = "…"' for key in needed)]
        if not lines:
            return _(
                "Install a plugin that provides a notifier; to see what is installed: gpurent plugin list"
            )
        return _("Add to config.toml:") + "\n" + "\n".join(lines)


@define(eq=False)
class Notifications:
    """Sends notices for events. ``show_warning`` writes to the terminal only: a notifier must not report itself."""

    notifiers: ConfiguredNotifiers
    writer: NoticeBuilder
    settings: Settings
    store: TripStore
    show_warning: Callable[[str], None]
    _queues: dict[str, DeliveryQueue[Notice]] = field(factory=dict, init=False)
    _failing_names: set[str] = field(factory=set, init=False)
    _sent_at: dict[tuple[str, str, str], float] = field(factory=dict, init=False)
    _outcomes: list[DeliveryOutcome] = field(factory=list, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _last: asyncio.Task[None] | None = field(default=None, init=False)

    @cached_property
    def policy(self) -> NotifyPolicy:
        """The user's policy; if the settings are invalid, warn and use the default."""
        try:
            return NotifyPolicy.from_settings(self.settings)
        except UsageError as error:
            self._warn(error.message)
            return NotifyPolicy()

    def on_event(self, event: Event) -> None:
        """Begin to send a notice to every notifier if the user wants this event. Never raises or blocks."""
        # One after the other, so that notices keep the order of their events.
        self._last = start_detached(self._queue_notice(event, self._last))

    async def _queue_notice(self, event: Event, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await earlier
        try:
            if not await self._should_notify(event):
                return
            notice = await self.writer.build_notice(event, self.policy.language)
        except Exception as error:  # noqa: BLE001 - a message that cannot be written must not stop a trip
            log.warning("no notice of %s: %s", event.kind.value, type(error).__name__)
            return
        self._loop = asyncio.get_running_loop()
        install_stream_filters()
        for entry in self.notifiers.entries:
            if entry.name not in self._queues:
                send = partial(self.notifiers.send_notice, entry)
                limit = self.policy.timeout
                self._queues[entry.name] = DeliveryQueue(entry.name, send, limit, self._on_outcome)
            self._queues[entry.name].put(notice)

    async def _should_notify(self, event: Event) -> bool:
        return (
            bool(self.notifiers.entries)
            and (await self._get_trip_policy(event.trip)).should_notify(event)
            and not self._is_repeated(event)
        )

    async def _get_trip_policy(self, trip: str) -> NotifyPolicy:
        """Return the policy with the trip's own choice of events; those of a project file are added to the user's."""
        record = await self.store.find_trip(trip) if trip else None
        if record is None or record.spec.notify is None:
            return self.policy
        kinds = frozenset(EventKind(name) for name in record.spec.notify)
        if record.spec.is_from_project("notify"):
            return evolve(self.policy, added=kinds)
        return evolve(self.policy, kinds=kinds)

    def _is_repeated(self, event: Event) -> bool:
        """Return whether the same warning was just sent, so that an outage does not cause a message every minute."""
        now = monotonic()
        self._sent_at = {key: at for key, at in self._sent_at.items() if now - at < REPEAT_SECONDS}
        key = (event.kind.value, event.lease, event.text)
        again = key in self._sent_at and event.kind is EventKind.WARNING
        self._sent_at[key] = now
        return again

    def _on_outcome(self, outcome: DeliveryOutcome) -> None:
        """Pass an outcome from the queue's thread to the event loop, which may write to the terminal."""
        self._outcomes.append(outcome)
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._report_outcomes)
            except RuntimeError:  # the loop was closed meanwhile: the command has ended
                log.debug("%s answered after the end", outcome.name)

    def _report_outcomes(self) -> None:
        """Warn when a notifier starts failing; stay silent about it until it has worked again."""
        while self._outcomes:
            outcome = self._outcomes.pop(0)
            if outcome.ok and outcome.name in self._failing_names:
                self._failing_names.discard(outcome.name)
                log.info("%s works again", outcome.name)
            elif not outcome.ok and outcome.name not in self._failing_names:
                self._failing_names.add(outcome.name)
                text = _("notifier {name} failed: {why}")
                self._warn(text.format(name=outcome.name, why=outcome.reason))

    def _warn(self, text: str) -> None:
        text = self.writer.sanitize(text)
        log.warning("%s", text)
        self.show_warning(text)

    async def close(self) -> None:
        """Wait until everything is sent, at most for one notice's timeout; warn about what was not."""
        if self._last is not None:
            await self._last
        if not self._queues:
            return
        end = monotonic() + self.policy.timeout + _OUTCOME_SECONDS
        for queue in self._queues.values():
            await asyncio.to_thread(queue.drain, max(0.0, end - monotonic()))
        self._report_outcomes()
        for queue in self._queues.values():
            missed = queue.pending_count + queue.dropped_count
            if missed:
                text = ngettext(
                    "{name}: {count} notification was not sent",
                    "{name}: {count} notifications were not sent",
                    missed,
                )
                self._warn(text.format(name=queue.name, count=missed))
        if not any(queue.pending_count for queue in self._queues.values()):
            remove_stream_filters()

    async def send_test(self, name: str = "") -> list[DeliveryOutcome]:
        """Send a test message through ``name``, or concurrently through all notifiers; return the outcomes."""
        policy = NotifyPolicy.from_settings(self.settings)
        chosen = self.notifiers.select_notifiers(name)
        notice = await self.writer.build_test_notice(policy.language)
        install_stream_filters()
        try:
            sent = [
                Delivery(x.name, partial(self.notifiers.send_notice, x), notice, policy.timeout)
                for x in chosen
            ]
            found = [await asyncio.to_thread(delivery.wait_for_outcome) for delivery in sent]
        finally:
            remove_stream_filters()
        return [evolve(outcome, reason=self.writer.sanitize(outcome.reason)) for outcome in found]
