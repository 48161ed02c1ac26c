"""What faults of the service ``mail`` do to the commands of an IMAP client."""

from __future__ import annotations

import asyncio
import imaplib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import define

from gpurent.errors import UsageError
from gpurent.testing.sandbox.mail_server import ADDRESS, MailServer
from gpurent.testing.sandbox.service_faults import ActiveFault, ServiceFault, ServiceFaults


@define
class Mailbox:
    """A mailbox with one mail, and clients of it, each in a thread."""

    server: MailServer
    faults: ServiceFaults

    async def add(self, **fields: Any) -> ActiveFault:
        return await self.faults.add(ServiceFault(service="mail", **fields))

    async def use(self, action: Callable[[imaplib.IMAP4], Any]) -> Any:
        """Log in, open the inbox and return what ``action`` gives."""

        def work() -> Any:
            client = imaplib.IMAP4(self.server.host, self.server.port, timeout=20)
            try:
                client.login(ADDRESS, self.server.get_password(ADDRESS))
                client.select("INBOX")
                return action(client)
            finally:
                client.shutdown()

        return await asyncio.to_thread(work)

    async def count_mails(self) -> int:
        found: int = await self.use(lambda client: len(client.search(None, "ALL")[1][0].split()))
        return found


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    faults = ServiceFaults()
    server = MailServer(faults)
    await server.start()
    await server.deliver(to=ADDRESS, sender="a@b.example", subject="code", text="1234\n" * 50_000)
    yield Mailbox(server, faults)
    await faults.clear()
    await server.close()


async def test_without_a_fault_mails_arrive_whole(mailbox: Mailbox) -> None:
    def fetch(client: imaplib.IMAP4) -> bytes:
        data: Any = client.fetch("1", "(RFC822)")[1][0]
        return bytes(data[1])

    assert (await mailbox.use(fetch)).count(b"1234") == 50_000
    assert [(call.method, call.path) for call in mailbox.faults.calls] == [
        ("CAPABILITY", "/"),
        ("LOGIN", f"/{ADDRESS}"),
        ("SELECT", "/INBOX"),
        ("FETCH", "/1"),
    ]


@pytest.mark.parametrize("after", [False, True])
async def test_a_refused_command(mailbox: Mailbox, after: bool) -> None:
    fault = await mailbox.add(method="search", body="busy, come back later", after=after, times=1)
    typ, data = await mailbox.use(lambda client: client.search(None, "ALL"))
    assert (typ, data) == ("NO", [b"busy, come back later"])
    assert await mailbox.count_mails() == 1
    assert (fault.matched, fault.applied) == (2, 1)


@pytest.mark.parametrize("after", [False, True])
async def test_a_lost_connection(mailbox: Mailbox, after: bool) -> None:
    await mailbox.add(method="STORE", lose=True, after=after, times=1)
    with pytest.raises((imaplib.IMAP4.abort, OSError)):
        await mailbox.use(lambda client: client.store("1", "+FLAGS", r"(\Flagged)"))
    flagged = await mailbox.use(lambda client: client.search(None, "FLAGGED")[1])
    assert flagged == ([b"1"] if after else [b""])


async def test_a_refusal_that_ends_the_connection(mailbox: Mailbox) -> None:
    await mailbox.add(method="LOGIN", body="too many connections", lose=True, times=1)
    with pytest.raises(imaplib.IMAP4.error, match="too many connections"):
        await mailbox.count_mails()
    assert await mailbox.count_mails() == 1


async def test_a_command_that_is_held_and_then_goes_on(mailbox: Mailbox) -> None:
    fault = await mailbox.add(method="LOGIN", hold=True)
    waiting = asyncio.create_task(mailbox.count_mails())
    await asyncio.wait_for(fault.wait_until_applied(), 10)
    assert fault.held == 1
    await mailbox.faults.clear()
    assert await waiting == 1


async def test_answers_of_http_are_none_of_a_mailbox(mailbox: Mailbox) -> None:
    for fields in ({"status": 503}, {"headers": [("a", "b")]}, {"duplicate": True}):
        with pytest.raises(UsageError, match="mailbox"):
            await mailbox.add(**fields)


async def test_a_mailbox_that_refuses_connections(mailbox: Mailbox) -> None:
    await mailbox.add(refuse=True)
    with pytest.raises(ConnectionRefusedError):
        await mailbox.count_mails()
    await mailbox.faults.clear()
    assert await mailbox.count_mails() == 1
