"""Events: what happens is emitted once, and everybody who subscribed hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from gpurent.ports.system import Clock
from gpurent.ports.terminal import EventSubscriber

if TYPE_CHECKING:
    from gpurent.domain.events import EventKind


@define(eq=False)
class EventEmitter:
    """Subscribers are called in the order in which they came, at once."""

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
        """``text`` is for people, in their language; ``data`` for scripts, without secrets."""
        from gpurent.domain.events import Event  # listings, which emit nothing, do not need it

        event = Event(kind=kind, at=self.clock.now(), trip=trip, lease=lease, step=step, text=text, data=data)
        for subscriber in self.subscribers:
            subscriber(event)
