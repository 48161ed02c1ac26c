"""Mailboxes in memory find what a real one finds."""

from __future__ import annotations

from datetime import datetime

import pytest
from attrs import evolve

from gpurent.domain.question import Mail
from gpurent.testing.contracts.mailbox import NOON, SENDER, MailboxContract, MailboxUnderTest
from gpurent.testing.fakes import ADDRESS, FakeMailbox, FakePostOffice, ManualClock


class TestFakeMailbox(MailboxContract):
    @pytest.fixture
    def mailbox(self) -> MailboxUnderTest:
        mailbox = FakeMailbox(ManualClock())

        async def deliver(sender: str, subject: str, text: str, at: datetime) -> None:
            mailbox.deliver(sender, subject, text, at)

        return MailboxUnderTest(mailbox, deliver)


async def test_the_post_office_knows_its_addresses() -> None:
    post_office = FakePostOffice(ManualClock(NOON))
    mailbox, other = post_office.open_mailbox(), post_office.open_mailbox("other@sandbox.example")
    assert post_office.open_mailbox(ADDRESS.upper()) is mailbox
    await post_office.send(to=ADDRESS, sender=SENDER, subject="code", text="1")
    await post_office.send(to="nobody@sandbox.example", sender=SENDER, subject="code", text="2")
    assert [mail.text for mail in mailbox.mails] == ["1"]
    assert other.mails == []


async def test_mails_can_be_altered_or_lost() -> None:
    mailbox = FakeMailbox(ManualClock(NOON))

    def alter(mail: Mail) -> Mail | None:
        return None if mail.text == "lost" else evolve(mail, text=mail.text.upper())

    mailbox.alter = alter
    mailbox.deliver(SENDER, "code", "lost")
    mailbox.deliver(SENDER, "code", "found")
    assert [mail.text for mail in await mailbox.search(since=NOON, sender=SENDER, subject="")] == ["FOUND"]
    mailbox.is_available = False
    assert list(await mailbox.search(since=NOON, sender=SENDER, subject="")) == []
