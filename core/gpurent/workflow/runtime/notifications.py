"""Tells users who are away: every notifier plugin whose settings are filled, each on its own, none in the way."""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING

from attrs import evolve

from gpurent.domain.events import Event, EventKind
from gpurent.domain.notice import Notice
from gpurent.domain.terminal_text import strip_terminal
from gpurent.errors import UsageError
from gpurent.infra.delivery_queue import Call, Outbox, Outcome
from gpurent.infra.thread_output import stand_aside, step_back
from gpurent.locale import _
from gpurent.roles.notifier import Notifier
from gpurent.workflow.runtime.notices import Policy, compose

if TYPE_CHECKING:
    from gpurent.roles.entries import NotifierEntry
    from gpurent.workflow.runtime.desk import Desk

log = logging.getLogger("gpurent.notify")
SAME = 600.0


class Notifiers:
    """Bound to one `Desk`. `tell` never raises and never waits."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._boxes: dict[str, Outbox[Notice]] = {}
        self._bad: set[str] = set()
        self._told: dict[tuple[str, str, str], float] = {}
        self._outcomes: list[Outcome] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @cached_property
    def policy(self) -> Policy:
        """The user's choice; a setting that means nothing leaves the default one, and a warning."""
        try:
            return Policy.read(self._desk.setting)
        except UsageError as error:
            self._warn(error.message)
            return Policy()

    @cached_property
    def in_use(self) -> tuple[NotifierEntry, ...]:
        """The notifiers whose settings are filled; what is secret in them is hidden from now on."""
        found = []
        for entry in self._desk.registry.notifier.values():
            settings = self._desk.settings(entry)
            if all(field.optional or settings.get(field.name) for field in entry.settings):
                self._desk.hide(entry)
                found.append(entry)
        return tuple(found)

    def tell(self, event: Event) -> None:
        """Queue ``event`` for everybody in use, if the user wants to hear of it."""
        if not self.in_use:
            return
        try:
            if not self._policy_of(event.trip).wants(event) or self._repeated(event):
                return
            notice = compose(self._desk, event, self.policy.language)
        except Exception as error:  # noqa: BLE001 - a message that cannot be written must not stop a trip
            log.warning("no notice of %s: %s", event.kind.value, type(error).__name__)
            return
        self._loop = self._loop or _running()
        stand_aside()
        for entry in self.in_use:
            self._box(entry).put(notice)

    def _policy_of(self, trip: str) -> Policy:
        """The trip's own choice of events, where its project file makes one."""
        row = self._desk.journal.trip(trip) if trip else None
        if row is None or row.want.notify is None:
            return self.policy
        return evolve(self.policy, kinds=frozenset(EventKind(name) for name in row.want.notify))

    def _repeated(self, event: Event) -> bool:
        """Whether the same was said a short while ago: a service that is away is not worth a message a minute."""
        now = monotonic()
        self._told = {key: at for key, at in self._told.items() if now - at < SAME}
        key = (event.kind.value, event.lease, event.text)
        again = key in self._told and event.kind is EventKind.WARNING
        self._told[key] = now
        return again

    def _box(self, entry: NotifierEntry) -> Outbox[Notice]:
        if entry.name not in self._boxes:
            self._boxes[entry.name] = Outbox(
                entry.name, lambda notice: self._send(entry, notice), self.policy.limit, self._heard
            )
        return self._boxes[entry.name]

    def _send(self, entry: NotifierEntry, notice: Notice) -> None:
        made: Notifier = self._desk.tool("notifier", entry.name, Notifier)
        made.notify(notice)

    def _heard(self, outcome: Outcome) -> None:
        """In an outbox's thread: hand it to the event loop, which may speak to the terminal."""
        self._outcomes.append(outcome)
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._report)
            except RuntimeError:  # closed meanwhile: it is reported nowhere, the command is over
                log.debug("%s answered after the end", outcome.name)

    def _report(self) -> None:
        while self._outcomes:
            outcome = self._outcomes.pop(0)
            if outcome.good:
                if outcome.name in self._bad:
                    self._bad.discard(outcome.name)
                    log.info("%s works again", outcome.name)
            elif outcome.name not in self._bad:
                self._bad.add(outcome.name)
                self._warn(
                    _("the notifier {name} does not work: {why}").format(name=outcome.name, why=outcome.why)
                )

    def _warn(self, text: str) -> None:
        """To the terminal and the log alone: the notifiers themselves would go in circles."""
        text = self._clean(text)
        log.warning("%s", text)
        self._desk.ui.notify(Event(kind=EventKind.WARNING, at=self._desk.clock.now(), text=text))

    def _clean(self, text: str) -> str:
        return self._desk.redactor.scrub(strip_terminal(text))

    async def close(self) -> None:
        """Wait until everything is sent, but no longer than one notice may take; say what was not."""
        if not self._boxes:
            return
        await asyncio.to_thread(self._drain)
        self._report()
        for box in self._boxes.values():
            missed = box.left + box.dropped
            if missed:
                self._warn(_("{name}: {count} messages were not sent").format(name=box.name, count=missed))
        if not any(box.left for box in self._boxes.values()):
            step_back()

    def _drain(self) -> None:
        end = monotonic() + self.policy.limit
        for box in self._boxes.values():
            box.drain(max(0.0, end - monotonic()))

    async def test(self, name: str = "") -> list[Outcome]:
        """Send a test message by ``name``, or by everybody in use, side by side; how each of them took it."""
        policy = Policy.read(self._desk.setting)
        if name:
            self._desk.registry.get("notifier", name)
        chosen = [entry for entry in self.in_use if name in ("", entry.name)]
        if not chosen:
            raise UsageError(
                _("{name} is not set up").format(name=name) if name else _("no notifier is set up"),
                hint=self._settings_hint(name),
            )
        event = Event(kind=EventKind.TEST, at=self._desk.clock.now(), text=_("This is a test."))
        notice = compose(self._desk, event, policy.language)
        stand_aside()
        try:
            found = await asyncio.to_thread(self._try, chosen, notice, policy.limit)
        finally:
            step_back()
        return [evolve(outcome, why=self._clean(outcome.why)) for outcome in found]

    def _try(self, chosen: list[NotifierEntry], notice: Notice, limit: float) -> list[Outcome]:
        calls = [Call(x.name, lambda notice, x=x: self._send(x, notice), notice, limit) for x in chosen]  # type: ignore[misc]
        return [call.outcome() for call in calls]

    def _settings_hint(self, name: str) -> str:
        lines = []
        for entry in self._desk.registry.notifier.values():
            if name in ("", entry.name):
                needed = [field.name for field in entry.settings if not field.optional and not field.default]
                lines += [f"[{entry.name}]", *(f'{key} = "…"' for key in needed)]
        if not lines:
            return _("Install a plugin that brings a notifier; what is there: gpurent plugins")
        return _("Write into config.toml:") + "\n" + "\n".join(lines)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
