"""Events: each is emitted once and passed to all subscribers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from gpurent.ports.system import Clock
from gpurent.ports.terminal import EventSubscriber

if TYPE_CHECKING:
    from gpurent.domain.events import EventKind


@define(eq=False)
class EventEmitter:
    """Calls its subscribers immediately, in the order of subscription."""

    clock: Clock
    subscribers: list[EventSubscriber] = field(factory=list)

    def subscribe(self, subscriber: EventSubscriber) -> None:
        self.subscribers.append(subscriber)

    def emit(
        self,
        kind: EventKind,
        text: str = "",
        *,
        trip: str = "",
        lease: str = "",
        step: str = "",
        **data: str | int,
    ) -> None:
        """Emit an event. ``text`` is for people, in their language; ``data`` is for scripts and holds no secrets."""
        from gpurent.domain.events import Event  # lazy: listings emit no events

        event = Event(kind=kind, at=self.clock.now(), trip=trip, lease=lease, step=step, text=text, data=data)
        for subscriber in self.subscribers:
            subscriber(event)
