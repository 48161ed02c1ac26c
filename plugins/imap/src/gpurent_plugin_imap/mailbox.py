"""The user's mailbox over IMAP: read only, one search at a time, in a worker thread."""

from __future__ import annotations

import asyncio
import imaplib
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from logging import Logger

from imap_tools import AND, BaseMailBox, MailBox, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError, MailboxFolderSelectError, MailboxLoginError

from gpurent.api import AuthError, Mail, Mailbox, UnavailableError, UsageError, is_loopback
from gpurent_plugin_imap import _
from gpurent_plugin_imap.mail_parser import parse_mail

MAX_MAIL_SIZE = 1 << 20
MAX_MAILS = 50
TIMEOUT = 20.0
# Response codes of RFC 5530 and of Gmail: the credentials may well be right.
_BUSY_PATTERN = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|OVERQUOTA)\]|too many", re.IGNORECASE)


class ImapMailbox(Mailbox):
    """Mailbox over IMAP; nothing in it is changed, not even the "seen" flag."""

    def __init__(self, settings: Mapping[str, str], log: Logger) -> None:
        """Set up the mailbox.

        ``settings``: host, port, user, password, tls, folder. Raises `UsageError` if one is invalid.
        """
        self._settings = settings
        self._log = log
        if settings.get("tls", "yes") == "no" and not is_loopback(settings["host"]):
            raise UsageError(
                _("IMAP without TLS is only allowed on this computer"), hint=_('Set [imap] tls = "yes".')
            )
        try:
            self._port = int(settings.get("port", "993"))
        except ValueError:
            raise UsageError(_("invalid [imap] port: {port!r:.20}").format(port=settings["port"])) from None
        self._folder = settings.get("folder", "INBOX")
        if any(ord(char) < ord(" ") for name in ("user", "password") for char in settings[name]) or not (
            self._folder.isprintable()
        ):
            # A line break would start another command.
            raise UsageError(_("[imap] user, password and folder must not contain control characters"))

    def _log_in(self, box: BaseMailBox) -> None:
        user, password = self._settings["user"], self._settings["password"]
        if (user + password).isascii():
            box.login(user, password, None)
        else:
            box.login_utf8(user, password, None)
        if "ID" in box.client.capabilities:
            # NetEase (163, 126, yeah.net) refuses to open folders for clients that do not identify themselves.
            box.client.xatom("ID", '("name" "gpurent" "version" "1")')
        box.folder.set(self._folder, readonly=True)

    def _unavailable_error(self, why: str) -> UnavailableError:
        return UnavailableError(
            _("the mailbox at {host} is unavailable: {why}").format(host=self._settings["host"], why=why),
            retryable=True,
        )

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        # Dates of mails have whole seconds.
        return await asyncio.to_thread(self._search, since.replace(microsecond=0), sender.lower(), subject)

    def _search(self, since: datetime, sender: str, subject: str) -> list[Mail]:
        with self._open_mailbox() as box:
            # A server may show new mail only after NOOP.
            box.client.noop()
            # SINCE has whole days in the server's time zone: search one day more and check the exact time below.
            day = (since - timedelta(days=1)).date()
            # No charset: some servers reject the argument.
            wanted = AND(date_gte=day, from_=sender, size_lt=MAX_MAIL_SIZE)
            small = box.uids(wanted, charset=None)[-MAX_MAILS:]
            found = []
            for uid in small:
                mail = self._read_mail(box, uid)
                if (
                    mail is not None
                    and mail.sender == sender
                    and mail.at >= since
                    and subject in mail.subject
                ):
                    found.append(mail)
        return sorted(found, key=lambda mail: mail.at)

    def _read_mail(self, box: BaseMailBox, uid: str) -> Mail | None:
        """Return the mail; None if it was deleted meanwhile or is hostile."""
        try:
            for message in box.fetch(uid_list=uid, mark_seen=False):
                return parse_mail(uid, message.obj)
        except (OSError, imaplib.IMAP4.error, ImapToolsError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a stranger's mail does to the parser, the next one counts
            self._log.warning("a mail was passed over: %s", type(error).__name__)
        return None

    @contextmanager
    def _open_mailbox(self) -> Iterator[BaseMailBox]:
        host, user = self._settings["host"], self._settings["user"]
        box: BaseMailBox | None = None
        try:
            if self._settings.get("tls", "yes") == "no":
                box = MailBoxUnencrypted(host, self._port, timeout=TIMEOUT)
            else:
                box = MailBox(host, self._port, timeout=TIMEOUT, ssl_context=ssl.create_default_context())
            self._log_in(box)
            yield box
        except MailboxLoginError as error:
            if _BUSY_PATTERN.search(str(error.command_result)):
                raise self._unavailable_error(_("the server is busy")) from None
            raise AuthError(
                _("{host} rejected the mailbox password of {user}").format(user=user, host=host),
                hint=_("Many e-mail services require an app password for IMAP."),
            ) from None
        except MailboxFolderSelectError:
            raise UsageError(
                _("cannot open folder {folder!r} in the mailbox of {user} at {host}").format(
                    user=user, host=host, folder=self._folder
                ),
                hint=_("Set [imap] folder; INBOX always exists."),
            ) from None
        except (OSError, imaplib.IMAP4.error, ImapToolsError) as error:
            raise self._unavailable_error(type(error).__name__) from None
        finally:
            if box is not None:
                _log_out(box)


def _log_out(box: BaseMailBox) -> None:
    """Log out; a connection that is already lost is no error."""
    try:
        box.logout()
    except (OSError, imaplib.IMAP4.error, ImapToolsError):
        box.client.shutdown()
