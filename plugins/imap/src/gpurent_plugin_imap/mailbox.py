"""The user's mailbox over IMAP: read only, one look at a time, in a worker thread."""

from __future__ import annotations

import asyncio
import imaplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from ipaddress import ip_address
from logging import Logger

from imap_tools import AND, BaseMailBox, MailBox, MailBoxUnencrypted, MailMessage
from imap_tools.errors import ImapToolsError, MailboxLoginError

from gpurent.api import AuthError, Mail, Mailbox, UnavailableError, UsageError
from gpurent_plugin_imap.text import mail_of

LARGEST = 1 << 20
NEWEST = 50
TIMEOUT = 20.0


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class ImapMailbox(Mailbox):
    """``settings``: host, port, user, password, tls, folder. Nothing in the mailbox is changed, not even "seen"."""

    def __init__(self, settings: Mapping[str, str], log: Logger) -> None:
        self._settings = settings
        self._log = log
        if settings.get("tls", "yes") == "no" and not _loopback(settings["host"]):
            raise UsageError(
                "IMAP without TLS is only spoken to this computer", hint='Set [imap] tls = "yes".'
            )
        try:
            self._port = int(settings.get("port", "993"))
        except ValueError:
            raise UsageError(f"[imap] port is no number: {settings['port']!r:.20}") from None

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        # A mail's date has whole seconds.
        return await asyncio.to_thread(self._search, since.replace(microsecond=0), sender.lower(), subject)

    def _search(self, since: datetime, sender: str, subject: str) -> list[Mail]:
        with self._open() as box:
            # A server may show new mail only after NOOP.
            box.client.noop()
            # SINCE knows days only, in the server's zone: a day of slack, the exact time is checked below.
            day = (since - timedelta(days=1)).date()
            small = box.uids(AND(date_gte=day, from_=sender, size_lt=LARGEST))[-NEWEST:]
            found = []
            for uid in small:
                for message in box.fetch(AND(uid=uid), mark_seen=False, bulk=False):
                    mail = self._read(message)
                    if (
                        mail is not None
                        and mail.sender == sender
                        and mail.at >= since
                        and subject in mail.subject
                    ):
                        found.append(mail)
        return sorted(found, key=lambda mail: mail.at)

    def _read(self, message: MailMessage) -> Mail | None:
        try:
            return mail_of(message.uid or "", message.obj)
        except (ValueError, LookupError, TypeError) as error:
            self._log.warning("a mail was passed over: %s", type(error).__name__)
            return None

    @contextmanager
    def _open(self) -> Iterator[BaseMailBox]:
        host, user = self._settings["host"], self._settings["user"]
        box: BaseMailBox | None = None
        try:
            if self._settings.get("tls", "yes") == "no":
                box = MailBoxUnencrypted(host, self._port, timeout=TIMEOUT)
            else:
                box = MailBox(host, self._port, timeout=TIMEOUT, ssl_context=ssl.create_default_context())
            box.login(user, self._settings["password"], self._settings.get("folder", "INBOX"))
            yield box
        except MailboxLoginError:
            raise AuthError(
                f"the mailbox of {user} at {host} refuses the password",
                hint="Many mail providers want an app password for IMAP.",
            ) from None
        except (OSError, imaplib.IMAP4.error, ImapToolsError) as error:
            raise UnavailableError(
                f"the mailbox at {host} does not answer: {type(error).__name__}", retryable=True
            ) from None
        finally:
            if box is not None:
                _leave(box)


def _leave(box: BaseMailBox) -> None:
    """Log out; a line that is already gone is no trouble."""
    try:
        box.logout()
    except (OSError, imaplib.IMAP4.error, ImapToolsError):
        box.client.shutdown()
