"""What is sent to a user who is not at the terminal."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from gpurent.domain.events import Event


class Level(Enum):
    """How much a notice matters, the least first."""

    DETAIL = "detail"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"

    @property
    def rank(self) -> int:
        return list(Level).index(self)


@frozen(kw_only=True)
class Notice:
    """One message about ``event``.

    ``id`` is unique and stays the same when the message is sent again: receivers may drop the second. ``title`` is one
    line, ``body`` some lines, both in the user's language, without secrets and without control characters.
    """

    id: str
    level: Level
    title: str
    body: str
    event: Event
