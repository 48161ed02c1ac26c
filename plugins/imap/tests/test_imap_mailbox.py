"""The mailbox plugin against a real IMAP server, with honest and hostile mail in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from attrs import define, field

from gpurent.api import AccessChannel, AccessSource, AuthError, UnavailableError, UsageError
from gpurent.testing.contracts.mailbox import MailboxContract, MailboxUnderTest
from gpurent.testing.sandbox.local_ports import find_free_port
from gpurent.testing.sandbox.mail_server import ADDRESS, MailServer
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent_plugin_imap.mailbox import ImapMailbox

PROVIDER_ADDRESS = "notice@1024gpu.example"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOG = logging.getLogger("test")


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    server = MailServer()
    await server.start()
    yield server
    await server.close()


def make_mailbox(mail_server: MailServer, **changes: str) -> ImapMailbox:
    settings = {
        "host": mail_server.host,
        "port": str(mail_server.port),
        "user": ADDRESS,
        "password": mail_server.get_password(ADDRESS),
        "tls": "no",
    }
    return ImapMailbox({**settings, **changes}, LOG, identify_sandbox)


async def identify_sandbox(url: str) -> AccessSource:
    return AccessSource(channel=AccessChannel.SERVICE, is_authenticated=True, is_sandbox=True)


def make_raw_mail(
    body: bytes,
    *,
    sender: str = PROVIDER_ADDRESS,
    subject: str = "code",
    kind: str = "text/plain; charset=utf-8",
) -> bytes:
    head = (
        f"From: {sender}\r\nTo: {ADDRESS}\r\nSubject: {subject}\r\nDate: Sun, 01 Mar 2026 12:00:30 +0000\r\n"
    )
    return f"{head}MIME-Version: 1.0\r\nContent-Type: {kind}\r\n\r\n".encode() + body


async def search_texts(mail_server: MailServer, since: datetime = NOON, subject: str = "code") -> list[str]:
    return [
        mail.text.strip().replace("\r\n", "\n")
        for mail in await make_mailbox(mail_server).search(
            since=since, sender=PROVIDER_ADDRESS, subject=subject
        )
    ]


class TestImapMailbox(MailboxContract):
    @pytest.fixture
    def mailbox(self, mail_server: MailServer) -> MailboxUnderTest:
        async def deliver(sender: str, subject: str, text: str, at: datetime) -> None:
            await mail_server.deliver(to=ADDRESS, sender=sender, subject=subject, text=text, at=at)

        return MailboxUnderTest(make_mailbox(mail_server), deliver, mail_server.faults)


async def test_f3_a_display_name_is_no_sender(mail_server: MailServer) -> None:
    sender = f'"{PROVIDER_ADDRESS}" <evil@evil.example>'
    await mail_server.deliver(to=ADDRESS, sender=sender, subject="code", text="0.5", at=NOON)
    assert await search_texts(mail_server) == []


async def test_nothing_in_the_mailbox_changes(mail_server: MailServer) -> None:
    import imaplib

    await mail_server.deliver(to=ADDRESS, sender=PROVIDER_ADDRESS, subject="code", text="0.123", at=NOON)
    assert await search_texts(mail_server) == ["0.123"]

    def flags() -> bytes:
        with imaplib.IMAP4(mail_server.host, mail_server.port, timeout=60) as client:
            client.login(ADDRESS, mail_server.get_password(ADDRESS))
            client.select("INBOX", readonly=True)
            return bytes(client.fetch("1", "(FLAGS)")[1][0])  # type: ignore[arg-type]

    assert b"Seen" not in await asyncio.to_thread(flags)


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        (make_raw_mail("验证码\n0.3848".encode("gbk"), kind="text/plain; charset=gb2312"), "验证码\n0.3848"),
        (
            make_raw_mail(b"<style>x</style><p>ssh -p 20049 root@10.0.0.1</p>", kind="text/html"),
            "ssh -p 20049 root@10.0.0.1",
        ),
        (
            make_raw_mail(b"=300.5\r\n", kind="text/plain\r\nContent-Transfer-Encoding: quoted-printable"),
            "00.5",
        ),
        (make_raw_mail(b"MC43\r\n", kind="text/plain\r\nContent-Transfer-Encoding: base64"), "0.7"),
    ],
    ids=["gbk", "html-only", "quoted-printable", "base64"],
)
async def test_every_usual_form_is_read(mail_server: MailServer, mail: bytes, text: str) -> None:
    await mail_server.deliver_raw(ADDRESS, mail, NOON)
    assert await search_texts(mail_server) == [text]


@pytest.mark.parametrize(
    "mail",
    [
        make_raw_mail(b"0.5", sender=f"{PROVIDER_ADDRESS}, evil@evil.example"),
        make_raw_mail(b"0.5", sender=f"evil@evil.example\r\nFrom: {PROVIDER_ADDRESS}"),
        make_raw_mail(b"0.5", sender=f"({PROVIDER_ADDRESS}) evil@evil.example"),
        make_raw_mail(b"0.5", kind="text/plain; charset=no-such-charset"),
        make_raw_mail(b"MC41", kind="application/octet-stream\r\nContent-Disposition: attachment"),
        make_raw_mail(b"From: x\r\n\r\n0.5", kind="message/rfc822"),
        make_raw_mail(b"x" * (2 << 20)),
        make_raw_mail(b"<p>" * 200_000, kind="text/html"),
        b"\xff\xfe\x00 not a mail at all",
    ],
    ids=[
        "two",
        "two-headers",
        "comment",
        "charset",
        "attachment",
        "passed-on",
        "huge",
        "tags",
        "noise",
    ],
)
async def test_what_is_odd_is_passed_over_and_the_next_mail_counts(
    mail_server: MailServer, mail: bytes
) -> None:
    await mail_server.deliver_raw(ADDRESS, mail, NOON)
    await mail_server.deliver(
        to=ADDRESS, sender=PROVIDER_ADDRESS, subject="code", text="the real one", at=NOON
    )
    assert await search_texts(mail_server) == ["the real one"]


@pytest.mark.parametrize(
    "date",
    [
        "Date: Sun, 01 Mar 2020 12:00:00 +0000\r\n",
        "Date: Sun, 01 Mar 2099 12:00:00 +0000\r\n",
        "Date: soon\r\n",
        "",
    ],
    ids=["years-ago", "in-the-future", "no-time", "missing"],
)
async def test_a_mail_counts_by_its_arrival_not_by_the_sender_s_date(
    mail_server: MailServer, date: str
) -> None:
    mail = f"From: {PROVIDER_ADDRESS}\r\nSubject: code\r\n{date}\r\n0.5".encode()
    await mail_server.deliver_raw(ADDRESS, mail, NOON)
    (found,) = await make_mailbox(mail_server).search(since=NOON, sender=PROVIDER_ADDRESS, subject="code")
    assert found.at == NOON
    assert await search_texts(mail_server, NOON + timedelta(seconds=1)) == []


REFUSALS = (
    (
        "Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, "
        "or system is busy. More information at https://help.mail.example/detail"
    ),
    "LOGIN Login error or password error",
    "[UNAVAILABLE] try later",
    "[LIMIT] too many connections",
)


@pytest.mark.parametrize("hang_up", [False, True], ids=["no", "bye"])
@pytest.mark.parametrize("text", REFUSALS)
async def test_a_refused_login_can_be_tried_again_and_is_quoted(
    mail_server: MailServer, text: str, hang_up: bool
) -> None:
    await mail_server.faults.add(
        ServiceFault(service="mail", method="LOGIN", body=text, lose=hang_up, times=1)
    )
    with pytest.raises(UnavailableError) as caught:
        await search_texts(mail_server)
    assert caught.value.retryable
    assert text in caught.value.message
    assert await search_texts(mail_server) == []


async def test_a_refused_password_is_quoted_too(mail_server: MailServer) -> None:
    with pytest.raises(AuthError, match="Invalid authentication credentials"):
        await make_mailbox(mail_server, password="wrong").search(
            since=NOON, sender=PROVIDER_ADDRESS, subject=""
        )


@define
class NetEaseServer:
    """Stands before the mail server: offers ID at the time that ``offers`` says, and opens no folder without it."""

    mail_server: MailServer
    offers: str
    ids: list[bytes] = field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_server = await asyncio.open_connection(self.mail_server.host, self.mail_server.port)
        logged_in = identified = False
        writer.write(await behind.readline())
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                tag, command = line.split()[:2]
                if command == b"ID":
                    self.ids.append(line)
                    identified = True
                if command in (b"SELECT", b"EXAMINE") and not identified:
                    writer.write(
                        tag + b" NO " + command + b" Unsafe Login. Please contact kefu@188.com for help\r\n"
                    )
                    continue
                to_server.write(line)
                while answer := await behind.readline():
                    hidden = self.offers == "after" and not logged_in
                    writer.write(re.sub(rb" ID\b", b"", answer) if hidden else answer)
                    if answer.startswith(tag):
                        logged_in |= command == b"LOGIN" and answer.split()[1] == b"OK"
                        break
        to_server.close()
        writer.close()


@pytest.mark.parametrize("offers", ["before", "after"])
async def test_the_client_identifies_itself_before_it_opens_a_folder(
    mail_server: MailServer, offers: str
) -> None:
    await mail_server.deliver(to=ADDRESS, sender=PROVIDER_ADDRESS, subject="code", text="0.5", at=NOON)
    net_ease = NetEaseServer(mail_server, offers)
    server = await asyncio.start_server(net_ease.serve, "127.0.0.1", 0)
    async with server:
        mailbox = make_mailbox(mail_server, port=str(server.sockets[0].getsockname()[1]))
        found = await mailbox.search(since=NOON, sender=PROVIDER_ADDRESS, subject="code")
    assert [mail.text.strip() for mail in found] == ["0.5"]
    assert len(net_ease.ids) == 1


async def test_refused_password_is_reported_and_not_shown(mail_server: MailServer) -> None:
    with pytest.raises(AuthError) as caught:
        await make_mailbox(mail_server, password="hunter2-hunter2").search(
            since=NOON, sender=PROVIDER_ADDRESS, subject=""
        )
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value.detail}"


async def test_a_server_that_is_not_there_can_be_tried_again(mail_server: MailServer) -> None:
    with pytest.raises(UnavailableError) as caught:
        await make_mailbox(mail_server, port=str(find_free_port())).search(
            since=NOON, sender=PROVIDER_ADDRESS, subject=""
        )
    assert caught.value.retryable


async def test_a_server_that_hangs_up_in_the_middle_can_be_tried_again(mail_server: MailServer) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnavailableError) as caught:
            await make_mailbox(mail_server, port=str(port)).search(
                since=NOON, sender=PROVIDER_ADDRESS, subject=""
            )
    assert caught.value.retryable


async def test_missing_folder_is_a_settings_error(mail_server: MailServer) -> None:
    with pytest.raises(UsageError):
        await make_mailbox(mail_server, folder="No/Such").search(
            since=NOON, sender=PROVIDER_ADDRESS, subject=""
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "imap.example.com"},
        {"port": "many"},
        {"user": "a\r\nb LOGOUT"},
        {"password": "a\r\nb LOGOUT"},
        {"folder": "INBOX\r\nb LOGOUT"},
    ],
    ids=["no-tls", "port", "user", "password", "folder"],
)
async def test_settings_that_cannot_be_are_refused(mail_server: MailServer, changes: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        make_mailbox(mail_server, **changes)
