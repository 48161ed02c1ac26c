"""Mails to the user that are read, and messages that are sent to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from gpurent.domain.events import Notice
from gpurent.domain.question import Mail


class Mailbox(ABC):
    """The user's mailbox; read only."""

    @abstractmethod
    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        """Mails from exactly ``sender`` since then, whose subject contains ``subject``; oldest first; one look.

        Mail is hostile: too large, undecodable or without text is passed over. Refused is an `AuthError`.
        """


class Notifier(ABC):
    """Sends notices somewhere. Its failures are contained and never stop a trip."""

    @abstractmethod
    def notify(self, notice: Notice) -> None:
        """Send ``notice``; returns once it was taken, any error says that it was not.

        Called in a thread of its own, one notice after another, so it may block; a call that takes longer than the
        user's limit (`[notify] limit`, 10 seconds) counts as failed and is not waited for. Never called again for the
        same notice: whoever retries does it inside the call, and only what cannot arrive twice.
        """
