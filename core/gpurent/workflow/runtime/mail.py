"""The user's mailbox as plugins see it: whichever mailbox plugin has its settings filled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from gpurent.domain.mail import Mail
from gpurent.roles.entries import MailboxEntry
from gpurent.roles.mailbox import Mailbox

if TYPE_CHECKING:
    from gpurent.workflow.runtime.desk import Desk


class ConfiguredMailReader:
    """Implements `gpurent.roles.plugin_context.Post`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @cached_property
    def _entry(self) -> MailboxEntry | None:
        for entry in self._desk.registry.mailbox.values():
            settings = self._desk.settings(entry)
            if all(field.optional or settings.get(field.name) for field in entry.settings):
                return entry
        return None

    @property
    def available(self) -> bool:
        return self._entry is not None

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        if self._entry is None:
            return ()
        mailbox: Mailbox = self._desk.tool("mailbox", self._entry.name, Mailbox)
        return await mailbox.search(since=since, sender=sender, subject=subject)
