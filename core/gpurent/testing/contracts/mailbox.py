"""Contract tests for `gpurent.roles.messages.Mailbox`, which also hold for a plugin's `MailReader`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from attrs import frozen

from gpurent.domain.question import Mail

SENDER = "notice@provider.example"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class SupportsMailSearch(Protocol):
    """The search that a mailbox and a mail reader share."""

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]: ...


@frozen
class MailboxUnderTest:
    """A mailbox and a way to put mail into it: ``deliver(sender, subject, text, at)``."""

    mailbox: SupportsMailSearch
    deliver: Callable[[str, str, str, datetime], Awaitable[None]]

    async def deliver_mail(
        self, text: str, minutes: float, *, sender: str = SENDER, subject: str = "your code"
    ) -> None:
        await self.deliver(sender, subject, text, NOON + timedelta(minutes=minutes))

    async def search_texts(self, since: datetime = NOON, subject: str = "code") -> list[str]:
        found = await self.mailbox.search(since=since, sender=SENDER, subject=subject)
        return [mail.text.strip() for mail in found]


class MailboxContract(ABC):
    """Contract tests for a mailbox; a subclass defines the fixture ``mailbox``, an empty mailbox."""

    @abstractmethod
    @pytest.fixture
    def mailbox(self) -> MailboxUnderTest:
        """Return an empty mailbox for one test."""

    async def test_an_empty_mailbox_finds_nothing(self, mailbox: MailboxUnderTest) -> None:
        assert await mailbox.search_texts() == []

    async def test_only_the_sender_s_fresh_mail_about_it_oldest_first(
        self, mailbox: MailboxUnderTest
    ) -> None:
        await mailbox.deliver_mail("second", 2)
        await mailbox.deliver_mail("first", 1)
        await mailbox.deliver_mail("too old", -1)
        await mailbox.deliver_mail("a stranger", 1, sender=f"{SENDER}.evil.example")
        await mailbox.deliver_mail("about something else", 1, subject="news")
        assert await mailbox.search_texts() == ["first", "second"]
        assert await mailbox.search_texts(subject="") == ["first", "about something else", "second"]

    async def test_a_mail_of_the_very_second_counts(self, mailbox: MailboxUnderTest) -> None:
        """Mail dates have whole seconds, so a mail sent after ``since`` may carry a date up to a second before it."""
        await mailbox.deliver_mail("just now", 0)
        assert await mailbox.search_texts(NOON + timedelta(milliseconds=500)) == ["just now"]
        assert await mailbox.search_texts(NOON + timedelta(seconds=1)) == []

    async def test_new_mail_is_seen_at_the_next_search(self, mailbox: MailboxUnderTest) -> None:
        assert await mailbox.search_texts() == []
        await mailbox.deliver_mail("here", 1)
        (mail,) = await mailbox.mailbox.search(since=NOON, sender=SENDER, subject="")
        assert (mail.sender, mail.subject, mail.at) == (SENDER, "your code", NOON + timedelta(minutes=1))
        assert mail.text.strip() == "here"
        assert mail.uid

    async def test_the_sender_is_asked_for_in_any_case(self, mailbox: MailboxUnderTest) -> None:
        await mailbox.deliver_mail("shouted", 1, sender=SENDER.upper())
        assert await mailbox.search_texts() == ["shouted"]
