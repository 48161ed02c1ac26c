"""Mailboxes, which core reads, and notifiers, which message the user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from gpurent.domain.events import Notice
from gpurent.domain.question import Mail


class Mailbox(ABC):
    """The user's mailbox; read-only."""

    @abstractmethod
    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        """Return mails that arrived since ``since`` from exactly ``sender`` and have ``subject`` in the subject.

        Oldest first. Searches once. Mail is untrusted: mails that are too large, undecodable or without text are
        skipped. Raises `UnavailableError` with the server's own words for whatever may pass, and `AuthError` only if
        the server says that the credentials are wrong.
        """


class Notifier(ABC):
    """Sends notices to one channel. Its failures are contained and never stop a trip."""

    @abstractmethod
    def notify(self, notice: Notice) -> None:
        """Send ``notice``; returns once it is accepted, and any exception means that it was not.

        Called in a thread of its own, one notice at a time, so it may block; a call that takes longer than the user's
        limit (`[notify] timeout`, 10 seconds by default) counts as failed and is abandoned. It is never called again
        for the same notice: an implementation that retries does so within the call, and only if the notice cannot
        arrive twice.
        """
