"""The user's mailbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gpurent.domain.mail import Mail


class MailReader(Protocol):
    """The user's mailbox, or `available` False when none is set up."""

    @property
    def available(self) -> bool: ...
    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        """Mails from exactly ``sender`` since then, whose subject contains ``subject``; oldest first."""
