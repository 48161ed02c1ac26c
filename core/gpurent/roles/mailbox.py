"""Where codes and SSH lines arrive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from gpurent.domain.mail import Mail


class Mailbox(ABC):
    """The user's mailbox; read only."""

    @abstractmethod
    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        """Mails from exactly ``sender`` since then, whose subject contains ``subject``; oldest first; one look.

        Mail is hostile: too large, undecodable or without text is passed over. Refused is an `AuthError`.
        """
