"""Mailboxes in memory, and the post office that fills them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import define, field

from gpurent.domain.access import AccessChannel, AccessSource
from gpurent.domain.question import Mail
from gpurent.ports.system import Clock

ADDRESS = "student@sandbox.example"
CHECKED_MAIL = AccessSource(channel=AccessChannel.MAIL, is_authenticated=True, is_sandbox=True)


@define
class FakeMailbox:
    """A mailbox in a list; implements `gpurent.ports.services.MailReader`.

    Passes `contracts.mailbox.MailboxContract`. ``is_available`` False: no mailbox is configured. ``alter`` may change a
    mail on delivery; if it returns None, the mail is lost. ``source`` is that of every mail.
    """

    clock: Clock
    address: str = ADDRESS
    mails: list[Mail] = field(factory=list)
    is_available: bool = True
    alter: Callable[[Mail], Mail | None] | None = None
    source: AccessSource = CHECKED_MAIL

    def deliver(self, sender: str, subject: str, text: str, at: datetime | None = None) -> None:
        """Deliver a mail dated ``at`` (default: now), in whole seconds like a real mail's date."""
        mail: Mail | None = Mail(
            uid=str(len(self.mails) + 1),
            at=(at or self.clock.now()).replace(microsecond=0),
            sender=sender.lower(),
            subject=subject,
            text=text,
            source=self.source,
        )
        if self.alter is not None and mail is not None:
            mail = self.alter(mail)
        if mail is not None:
            self.mails.append(mail)

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        if not self.is_available:
            return ()
        floor = since.replace(microsecond=0)
        found = [
            m for m in self.mails if m.sender == sender.lower() and m.at >= floor and subject in m.subject
        ]
        return sorted(found, key=lambda mail: mail.at)


@define
class FakePostOffice:
    """Mailboxes by address.

    `send` implements `gpurent.roles.simulator.SendMail`; mail to an unknown address is dropped.
    """

    clock: Clock
    mailboxes: dict[str, FakeMailbox] = field(factory=dict)

    def open_mailbox(self, address: str = ADDRESS) -> FakeMailbox:
        """Return the mailbox of ``address``, created if new."""
        return self.mailboxes.setdefault(address.lower(), FakeMailbox(self.clock, address))

    async def send(self, *, to: str, sender: str, subject: str, text: str) -> None:
        mailbox = self.mailboxes.get(to.lower())
        if mailbox is not None:
            mailbox.deliver(sender, subject, text)
