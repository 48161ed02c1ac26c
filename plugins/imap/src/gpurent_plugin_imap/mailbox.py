"""The user's mailbox over IMAP: read only, one look at a time, in a worker thread."""

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
# Response codes of RFC 5530 and Gmail's: the login itself may be right.
_BUSY_PATTERN = re.compile(r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG|OVERQUOTA)\]|too many", re.IGNORECASE)


class ImapMailbox(Mailbox):
    """Nothing in the mailbox is changed, not even "seen"."""

    def __init__(self, settings: Mapping[str, str], log: Logger) -> None:
        """``settings``: host, port, user, password, tls, folder. A wrong one is a `UsageError`."""
        self._settings = settings
        self._log = log
        if settings.get("tls", "yes") == "no" and not is_loopback(settings["host"]):
            raise UsageError(
                _("IMAP without TLS is only spoken to this computer"), hint=_('Set [imap] tls = "yes".')
            )
        try:
            self._port = int(settings.get("port", "993"))
        except ValueError:
            raise UsageError(
                _("[imap] port is no number: {port!r:.20}").format(port=settings["port"])
            ) from None
        self._folder = settings.get("folder", "INBOX")
        if any(ord(char) < ord(" ") for name in ("user", "password") for char in settings[name]) or not (
            self._folder.isprintable()
        ):
            # A line break would begin another command.
            raise UsageError(_("[imap] user, password and folder hold no control characters"))

    def _log_in(self, box: BaseMailBox) -> None:
        user, password = self._settings["user"], self._settings["password"]
        if (user + password).isascii():
            box.login(user, password, None)
        else:
            box.login_utf8(user, password, None)
        if "ID" in box.client.capabilities:
            # NetEase (163, 126, yeah.net) opens no folder for clients that do not say who they are.
            box.client.xatom("ID", '("name" "gpurent" "version" "1")')
        box.folder.set(self._folder, readonly=True)

    def _unavailable_error(self, why: str) -> UnavailableError:
        return UnavailableError(
            _("the mailbox at {host} does not answer: {why}").format(host=self._settings["host"], why=why),
            retryable=True,
        )

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        # A mail's date has whole seconds.
        return await asyncio.to_thread(self._search, since.replace(microsecond=0), sender.lower(), subject)

    def _search(self, since: datetime, sender: str, subject: str) -> list[Mail]:
        with self._open_mailbox() as box:
            # A server may show new mail only after NOOP.
            box.client.noop()
            # SINCE knows days only, in the server's zone: a day of slack, the exact time is checked below.
            day = (since - timedelta(days=1)).date()
            # No charset: some servers refuse to be told one.
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
        """The mail, or None when it is gone meanwhile or hostile."""
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
                raise self._unavailable_error(_("it is busy")) from None
            raise AuthError(
                _("the mailbox of {user} at {host} refuses the password").format(user=user, host=host),
                hint=_("Many mail providers want an app password for IMAP."),
            ) from None
        except MailboxFolderSelectError:
            raise UsageError(
                _("the mailbox of {user} at {host} does not open the folder {folder!r}").format(
                    user=user, host=host, folder=self._folder
                ),
                hint=_("Set [imap] folder; INBOX is there always."),
            ) from None
        except (OSError, imaplib.IMAP4.error, ImapToolsError) as error:
            raise self._unavailable_error(type(error).__name__) from None
        finally:
            if box is not None:
                _log_out(box)


def _log_out(box: BaseMailBox) -> None:
    """Log out; a line that is already gone is no trouble."""
    try:
        box.logout()
    except (OSError, imaplib.IMAP4.error, ImapToolsError):
        box.client.shutdown()
