"""Mails that name a machine: which of them are believed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import httpx2
import pytest
from attrs import evolve

from gpurent.api import AccessChannel, AccessSource
from gpurent.domain.question import Mail
from gpurent.errors import InputRequired
from gpurent.testing.sandbox.mail_server import ADDRESS, AUTHSERV_ID, MailCheck, MailServer
from gpurent_plugin_imap.authentication_results import is_sender_authenticated
from gpurent_plugin_imap.mailbox import ImapMailbox
from plugins.gpu1024.tests.gpu1024_harness import gpu1024_harness
from tests.security.attacks import Adversary, Outcome, attack
from tests.workflow.test_payment_limits import CPU_SPEC, log_in_with_dbc
from tests.workflow.trip_sandbox import trip_sandbox

SENDER = "service@provider.example"
SERVER = "mx.mail.example"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def is_believed(*headers: str, sender: str = SENDER, authserv_id: str = SERVER) -> bool:
    """Return whether a mail with these headers on top of its own is taken for its sender's."""
    raw = "".join(f"{line}\r\n" for line in (*headers, f"From: {sender}", "Subject: x")) + "\r\nssh"
    return is_sender_authenticated(message_from_bytes(raw.encode()), sender, authserv_id)


def results(text: str, name: str = SERVER) -> str:
    return f"Authentication-Results: {name}; {text}"


DMARC = "dmarc=pass header.from=provider.example"
DKIM = "dkim=pass header.d=provider.example"
SPF = "spf=pass smtp.mailfrom=bounce@provider.example"


@pytest.mark.parametrize(
    "headers",
    [
        [results(DMARC)],
        [results("dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=provider.example")],
        [results(f"{SPF};\r\n\t{DKIM};\r\n {DMARC}")],
        [results(f"{DKIM} header.s=mail header.b=abc+/1;{SPF}")],
        [results(f"{DKIM} header.b=abc== header.i=@provider.example;{SPF}")],
        [results(f"dmarc=none header.from=provider.example; {DKIM}; {SPF}")],
        [results(f"dkim=pass header.d=relay.example; {DKIM}; spf=pass smtp.mailfrom=provider.example")],
        [results(DMARC.upper(), SERVER.upper())],
        [results(DMARC, f"{SERVER} 1")],
        [results(DMARC, f'"{SERVER}"')],
        [results("dmarc=fail header.from=provider.example", "relay.example"), results(DMARC)],
        ["Received: from a by b", results(DMARC)],
        [results('dmarc=pass (a "comment; with (another) \\) in it") header.from=provider.example')],
    ],
)
def test_what_the_user_s_mail_service_found_counts(headers: list[str]) -> None:
    assert is_believed(*headers)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no check"),
        pytest.param([results("none")], id="nothing found"),
        pytest.param([results("dmarc=fail header.from=provider.example")], id="dmarc failed"),
        pytest.param(
            [results(f"dmarc=fail header.from=provider.example; {DKIM}; {SPF}")], id="dmarc decides"
        ),
        pytest.param([results(f"dmarc=temperror header.from=provider.example; {DKIM}; {SPF}")], id="error"),
        pytest.param([results(f"{DMARC}; dmarc=fail header.from=provider.example")], id="two verdicts"),
        pytest.param([results("dmarc=pass header.from=evil.example")], id="another domain"),
        pytest.param([results("dmarc=pass header.from=mail.provider.example")], id="a subdomain"),
        pytest.param([results("dmarc=pass header.from=example")], id="a parent domain"),
        pytest.param([results("dmarc=pass")], id="no domain"),
        pytest.param([results(DKIM)], id="dkim alone"),
        pytest.param([results(SPF)], id="spf alone"),
        pytest.param([results(f"dkim=pass header.d=evil.example; {SPF}")], id="dkim of another"),
        pytest.param([results(f"{DKIM}; spf=pass smtp.mailfrom=a@evil.example")], id="spf of another"),
        pytest.param([results(f"{DKIM}; spf=softfail smtp.mailfrom=a@provider.example")], id="softfail"),
        pytest.param([results(f"dkim=fail header.d=provider.example; {SPF}")], id="dkim failed"),
    ],
)
@attack(
    Adversary.MAIL_SENDER,
    "sends a mail in the provider's name that the check of the mail service does not confirm for this very domain",
    Outcome.ASKED,
    kind="S2",
)
def test_a_mail_that_did_not_pass_is_not_believed(headers: list[str]) -> None:
    assert not is_believed(*headers)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([results(DMARC, "evil.example")], id="another server"),
        pytest.param([results(DMARC, f"{SERVER}.evil.example")], id="a longer name"),
        pytest.param([results(DMARC, f"x{SERVER}")], id="another beginning"),
        pytest.param([results("dmarc=fail header.from=provider.example"), results(DMARC)], id="below"),
        pytest.param([results("none"), results(DMARC)], id="below one that found nothing"),
        pytest.param([results("dmarc=pass header.from==x"), results(DMARC)], id="below one that is odd"),
        pytest.param([results("spf=fail smtp.mailfrom=é@evil"), results(DMARC)], id="below one with é"),
        pytest.param(
            [results("spf=fail smtp.helo=\x01"), results(DMARC)], id="below one with a control character"
        ),
        pytest.param([results("spf=fail" + " " * 20_000), results(DMARC)], id="below one that is huge"),
        pytest.param([results(f"({DMARC}); spf=none")], id="in a comment"),
        pytest.param([results(f'spf=fail smtp.mailfrom="x; {DMARC}"')], id="in a quoted string"),
        pytest.param([results(f"spf=fail (a (b) ; {DMARC}")], id="a comment that never ends"),
        pytest.param([results(f'spf=fail smtp.mailfrom="x; {DMARC}')], id="a string that never ends"),
        pytest.param(
            [results("dmarc=pass header.from=evil.example header.from=provider.example")], id="twice"
        ),
        pytest.param([results("dmarc=pass header.from=provider.example evil")], id="a word too many"),
        pytest.param([results("dmarc=pass\x00 header.from=provider.example")], id="control character"),
        pytest.param([results("dmarc=pass header.from=provider.exаmple")], id="look-alike letter"),
        pytest.param([f"X-{results(DMARC)}"], id="another header"),
        pytest.param([results(DMARC + " " * 20_000)], id="huge"),
    ],
)
@attack(
    Adversary.MAIL_SENDER,
    "writes Authentication-Results into the mail: other name, below the real one, in a comment or string, garbled",
    Outcome.ASKED,
    kind="S2",
)
def test_results_that_the_sender_wrote_do_not_count(headers: list[str]) -> None:
    assert not is_believed(*headers)


def test_without_the_setting_no_mail_is_believed() -> None:
    assert not is_believed(results(DMARC), authserv_id="")
    assert not is_believed(results(DMARC, ""), authserv_id="")


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    server = MailServer()
    await server.start()
    yield server
    await server.close()


async def search(server: MailServer, subject: str, *, proven: bool = True) -> AccessSource:
    async def identify(url: str) -> AccessSource:
        assert url == f"imap://{server.host}:{server.port}"
        return AccessSource(channel=AccessChannel.SERVICE, is_authenticated=proven, is_sandbox=proven)

    settings = {
        "host": server.host,
        "port": str(server.port),
        "user": ADDRESS,
        "password": server.get_password(ADDRESS),
        "tls": "no",
        "authserv_id": AUTHSERV_ID,
    }
    mailbox = ImapMailbox(settings, logging.getLogger("test"), identify)
    (mail,) = await mailbox.search(since=NOON, sender=SENDER, subject=subject)
    return mail.source


@pytest.mark.parametrize("check", MailCheck)
async def test_the_sandbox_s_mailbox_checks_senders(mail_server: MailServer, check: MailCheck) -> None:
    subject = f"check-{check.value}"
    await mail_server.deliver(to=ADDRESS, sender=SENDER, subject=subject, text="ssh", at=NOON, check=check)
    source = await search(mail_server, subject)
    assert source.channel is AccessChannel.MAIL
    assert source.is_authenticated is (check is MailCheck.PASS)
    assert source.is_sandbox


async def test_what_the_sandbox_s_sender_wrote_is_removed(mail_server: MailServer) -> None:
    forged = results(DMARC, AUTHSERV_ID)
    raw = f"{forged}\r\nFrom: {SENDER}\r\nSubject: forged\r\n\r\nssh"
    await mail_server.receive(ADDRESS, raw.encode(), NOON, MailCheck.NONE)
    assert not (await search(mail_server, "forged")).is_authenticated


@attack(
    Adversary.LOCAL_USER,
    "listens on the port of the mailbox on this computer, with mails that passed every check",
    Outcome.ASKED,
    kind="S2",
)
async def test_a_mailbox_that_anybody_may_run_is_not_believed(mail_server: MailServer) -> None:
    await mail_server.deliver(to=ADDRESS, sender=SENDER, subject="local", text="ssh", at=NOON)
    assert not (await search(mail_server, "local", proven=False)).is_authenticated


@attack(
    Adversary.MAIL_SENDER,
    "is first with a mail in the provider's name that names their own machine",
    Outcome.ASKED,
    kind="S2",
)
async def test_a_forged_mail_is_asked_about_until_the_real_one_is_there(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path, speed=120) as sandbox, sandbox.open_application() as application:
        await log_in_with_dbc(sandbox, application)
        sandbox.cloud.mail.check = MailCheck.FAIL
        with pytest.raises(InputRequired) as caught:
            await application.trips.rent(CPU_SPEC)
        (lease,) = await application.store.list_leases()
        assert caught.value.burning == (lease.id,)
        with pytest.raises(InputRequired) as caught:
            await application.machine_commands.run_command(lease.id, "true")
        assert "did not confirm" in caught.value.hint
        assert application.connector.list_host_keys(lease.id) == []
        sandbox.cloud.mail.check = MailCheck.PASS
        async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["1024gpu"]) as client:
            again = await client.get(
                "/rent/send_email_repeat",
                params={"order_id": lease.ref, "user_name_platform": "1024lab", "language": "CN"},
            )
            assert again.json()["content"] is True, again.text
        await sandbox.cloud.advance(timedelta(minutes=10))
        await application.machine_commands.run_command(lease.id, "true")
        assert (await application.leases.get_lease(lease.id)).access_source.is_authenticated
        await application.releases.release_lease(lease.id)
    assert sandbox.cloud.burning() == []


@attack(
    Adversary.MAIL_SENDER,
    "is last with such a mail, after one that the mail service confirmed",
    Outcome.REFUSED,
    kind="S2",
)
async def test_a_forged_mail_does_not_displace_a_confirmed_one() -> None:
    async with gpu1024_harness() as harness:
        renter = await harness.make_renter()
        mailbox = renter.user.mail

        def forge(mail: Mail) -> Mail:
            text = mail.text.replace("@127.0.0.1", "@203.0.113.9")
            later = mail.at + timedelta(seconds=1)
            source = evolve(mail.source, is_authenticated=False)
            mailbox.mails.append(evolve(mail, uid=f"{mail.uid}-forged", at=later, text=text, source=source))
            return mail

        mailbox.alter = forge
        driver = renter.make_driver()
        await driver.rent_machine(await renter.make_order(term=timedelta(hours=3)))
        lease = driver.current_lease
        assert any("@203.0.113.9，密码" in mail.text for mail in mailbox.mails)
        assert lease.access_source.is_authenticated
        assert lease.endpoint is not None
        assert lease.endpoint.host != "203.0.113.9"
        await driver.release_lease()
