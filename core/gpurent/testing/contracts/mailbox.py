"""Contract tests for `gpurent.roles.messages.Mailbox`, which also hold for a plugin's `MailReader`."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from attrs import frozen

from gpurent.domain.question import Mail
from gpurent.errors import UnavailableError, UsageError
from gpurent.testing.contracts.contract import Contract, skip_without
from gpurent.testing.sandbox.service_faults import ServiceFault, ServiceFaults
from gpurent.testing.sandbox.service_faults.fault import MAIL_SERVICE

SENDER = "notice@provider.example"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FORGED_SENDERS = (
    f"{SENDER}.evil.example",
    f"evil-{SENDER}",
    "notice@evil.example",
    "provider.example@evil.example",
    f'"{SENDER}" <evil@evil.example>',
    f"{SENDER} <evil@evil.example>",
    f"evil@evil.example ({SENDER})",
)


class SupportsMailSearch(Protocol):
    """The search that a mailbox and a mail reader share."""

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]: ...


@frozen
class MailboxUnderTest:
    """A mailbox and a way to put mail into it: ``deliver(sender, subject, text, at)``; ``sender`` as a mail states it.

    ``faults``: those of the server in front of it, as the service ``mail``; None for one in memory.
    """

    mailbox: SupportsMailSearch
    deliver: Callable[[str, str, str, datetime], Awaitable[None]]
    faults: ServiceFaults | None = None

    async def deliver_mail(
        self, text: str, minutes: float, *, sender: str = SENDER, subject: str = "your code"
    ) -> None:
        await self.deliver(sender, subject, text, NOON + timedelta(minutes=minutes))

    async def search_texts(self, since: datetime = NOON, subject: str = "code") -> list[str]:
        found = await self.mailbox.search(since=since, sender=SENDER, subject=subject)
        return [mail.text.strip() for mail in found]


class MailboxContract(Contract):
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

    @pytest.mark.parametrize("sender", FORGED_SENDERS)
    async def test_a_forged_sender_is_not_taken_for_the_sender(
        self, mailbox: MailboxUnderTest, sender: str
    ) -> None:
        await mailbox.deliver_mail("forged", 1, sender=sender)
        await mailbox.deliver_mail("real", 2)
        assert await mailbox.search_texts() == ["real"]

    async def test_no_pattern_is_read_into_a_subject(self, mailbox: MailboxUnderTest) -> None:
        await mailbox.deliver_mail("plain", 1, subject="a code (7)")
        assert await mailbox.search_texts(subject="code (7)") == ["plain"]
        assert await mailbox.search_texts(subject="c.de") == []
        assert await mailbox.search_texts(subject="*") == []

    async def test_a_mail_has_one_uid_for_ever(self, mailbox: MailboxUnderTest) -> None:
        await mailbox.deliver_mail("first", 1)
        await mailbox.deliver_mail("second", 2)
        found = [
            [mail.uid for mail in await mailbox.mailbox.search(since=NOON, sender=SENDER, subject="")]
            for _search in range(2)
        ]
        assert found[0] == found[1]
        assert len(set(found[0])) == 2

    async def test_two_searches_at_once(self, mailbox: MailboxUnderTest) -> None:
        await mailbox.deliver_mail("here", 1)
        first, second = await asyncio.gather(mailbox.search_texts(), mailbox.search_texts())
        assert first == second == ["here"]

    @pytest.mark.parametrize("command", ["LOGIN", "EXAMINE", "SELECT", "UID"])
    @pytest.mark.parametrize("text", [None, "system is busy"], ids=["lost", "refused"])
    async def test_a_server_that_fails_is_no_empty_mailbox(
        self, mailbox: MailboxUnderTest, command: str, text: str | None
    ) -> None:
        if mailbox.faults is None:
            skip_without("server", type(mailbox.mailbox).__name__)
        await mailbox.deliver_mail("here", 1)
        active = await mailbox.faults.add(
            ServiceFault(service=MAIL_SERVICE, method=command, body=text, lose=text is None)
        )
        try:
            found = await mailbox.search_texts()
        except UnavailableError as error:
            assert error.retryable
            assert text is None or text in f"{error.message} {error.detail}", "not the server's own words"
        except UsageError:
            assert command in ("EXAMINE", "SELECT"), "a folder that cannot be opened is a setting"
        else:
            assert found == ["here"]
            assert active.applied == 0
        await mailbox.faults.clear()
        assert await mailbox.search_texts() == ["here"]
