"""The user's mailbox over IMAP: read only, one search at a time, in a worker thread."""

from __future__ import annotations

import asyncio
import imaplib
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.message import Message
from logging import Logger

from attrs import evolve
from imap_tools import AND, BaseMailBox, MailBox, MailBoxUnencrypted
from imap_tools.errors import (
    ImapToolsError,
    MailboxFolderSelectError,
    MailboxLoginError,
    UnexpectedCommandStatusError,
)

from gpurent.api import (
    AccessChannel,
    AccessSource,
    AuthError,
    Mail,
    Mailbox,
    UnavailableError,
    UsageError,
    describe_error,
    is_loopback,
    parse_foreign_integer,
    quote_reason,
)
from gpurent_plugin_imap import _
from gpurent_plugin_imap.authentication_results import is_sender_authenticated
from gpurent_plugin_imap.mail_parser import parse_mail, parse_sender

MAX_MAIL_SIZE = 1 << 20
MAX_MAILS = 50
MAX_WORDS = 300
TIMEOUT = 20.0
# The only refusals that are about the credentials (RFC 5530). Others may mean anything: QQ and NetEase answer with one
# text whether the password is wrong, the account is blocked, or logins come too often.
_CREDENTIALS_PATTERN = re.compile(r"\[(?:AUTHENTICATIONFAILED|AUTHORIZATIONFAILED|EXPIRED)\]", re.IGNORECASE)
_INTERNALDATE_PATTERN = re.compile(
    rb'INTERNALDATE "\s?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"',
    re.IGNORECASE,
)
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")


class ImapMailbox(Mailbox):
    """Mailbox over IMAP; nothing in it is changed, not even the "seen" flag."""

    def __init__(
        self,
        settings: Mapping[str, str],
        log: Logger,
        identify_service: Callable[[str], Awaitable[AccessSource]],
    ) -> None:
        """Set up the mailbox.

        ``settings``: host, port, user, password, tls, folder, authserv_id. Raises `UsageError` if one is invalid.
        ``identify_service(url)``: see `PluginContext`.
        """
        self._identify_service = identify_service
        self._settings = settings
        self._log = log
        if settings.get("tls", "yes") == "no" and not is_loopback(settings["host"]):
            raise UsageError(
                _("IMAP without TLS is only allowed on this computer"), hint=_('Set [imap] tls = "yes".')
            )
        try:
            self._port = parse_foreign_integer(settings.get("port", "993"))
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
        if "ID" in box.client.capabilities or _has_id_now(box):
            # NetEase (163, 126, yeah.net) refuses to open folders for clients that do not identify themselves.
            box.client.xatom("ID", '("name" "gpurent" "version" "1")')
        box.folder.set(self._folder, readonly=True)

    def _unavailable_error(self, why: str) -> UnavailableError:
        return UnavailableError(
            _("the mailbox at {host} is unavailable: {why}").format(host=self._settings["host"], why=why),
            retryable=True,
        )

    def _quote_server(self, error: Exception) -> str:
        """Return the server's own words in quotation marks, without the password, if they repeat it."""
        words = _get_server_words(error).replace(self._settings["password"], "***")
        return quote_reason("".join(letter for letter in words if letter.isprintable())[:MAX_WORDS])

    async def search(self, *, since: datetime, sender: str, subject: str) -> Sequence[Mail]:
        # Dates of mails have whole seconds.
        server = await self._identify_server()
        return await asyncio.to_thread(
            self._search, since.replace(microsecond=0), sender.lower(), subject, server
        )

    async def _identify_server(self) -> AccessSource:
        scheme = "imap" if self._settings.get("tls", "yes") == "no" else "imaps"
        host = self._settings["host"]
        return await self._identify_service(
            f"{scheme}://[{host}]:{self._port}" if ":" in host else f"{scheme}://{host}:{self._port}"
        )

    def _search(self, since: datetime, sender: str, subject: str, server: AccessSource) -> list[Mail]:
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
                mail = self._read_mail(box, uid, server)
                if (
                    mail is not None
                    and mail.sender == sender
                    and mail.at >= since
                    and subject in mail.subject
                ):
                    found.append(mail)
        return sorted(found, key=lambda mail: mail.at)

    def _find_source(self, message: Message, server: AccessSource) -> AccessSource:
        """Return the source of a mail; authenticated if a server that is known to be the user's says so."""
        is_checked = is_sender_authenticated(
            message, parse_sender(message), self._settings.get("authserv_id", "")
        )
        return evolve(
            server,
            channel=AccessChannel.MAIL,
            is_authenticated=server.is_authenticated and is_checked,
        )

    def _read_mail(self, box: BaseMailBox, uid: str, server: AccessSource) -> Mail | None:
        """Return the mail; None if it was deleted meanwhile or is hostile."""
        try:
            _kind, data = box.client.uid("FETCH", uid, "(INTERNALDATE BODY.PEEK[])")
            for part in data:
                if isinstance(part, tuple):
                    message = message_from_bytes(part[1])
                    return parse_mail(uid, message, _parse_arrival(data), self._find_source(message, server))
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
            if not _CREDENTIALS_PATTERN.search(_get_server_words(error)):
                raise self._unavailable_error(self._quote_server(error)) from None
            raise AuthError(
                _("{host} rejected the mailbox password of {user}: {why}").format(
                    user=user, host=host, why=self._quote_server(error)
                ),
                hint=_("Many e-mail services require an app password for IMAP."),
            ) from None
        except MailboxFolderSelectError as error:
            if self._folder.upper() == "INBOX":
                # Every mailbox has one: NetEase's "Unsafe Login", for example, has another reason.
                raise self._unavailable_error(self._quote_server(error)) from None
            raise UsageError(
                _("cannot open folder {folder!r} in the mailbox of {user} at {host}: {why}").format(
                    user=user, host=host, folder=self._folder, why=self._quote_server(error)
                ),
                hint=_("Set [imap] folder; INBOX always exists."),
            ) from None
        except OSError as error:
            raise self._unavailable_error(describe_error(error)) from None
        except (imaplib.IMAP4.error, ImapToolsError) as error:
            raise self._unavailable_error(self._quote_server(error)) from None
        finally:
            if box is not None:
                _log_out(box)


def _has_id_now(box: BaseMailBox) -> bool:
    """Return whether the server offers ID after the login; some do not say so before."""
    _kind, data = box.client.capability()
    return any(b"ID" in part.upper().split() for part in data if isinstance(part, bytes))


def _get_server_words(error: Exception) -> str:
    """Return what the server said, on one line."""
    given = error.command_result[1] if isinstance(error, UnexpectedCommandStatusError) else error.args
    parts = [part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in given]
    return " ".join(" ".join(part for part in parts if part).split()) or type(error).__name__


def _parse_arrival(data: Sequence[object]) -> datetime:
    """Return when the server received the mail; the sender's own date may be anything. Raises `ValueError`."""
    for part in data:
        text = part[0] if isinstance(part, tuple) else part
        found = _INTERNALDATE_PATTERN.search(text) if isinstance(text, bytes) else None
        if found is not None:
            day, year, hour, minute, second = (int(found[number]) for number in (1, 3, 4, 5, 6))
            offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
            zone = timezone(-offset if found[7] == b"-" else offset)
            at = datetime(year, _MONTHS.index(found[2].lower()) + 1, day, hour, minute, second, tzinfo=zone)
            return at.astimezone(UTC)
    raise ValueError("no time of arrival")


def _log_out(box: BaseMailBox) -> None:
    """Log out; a connection that is already lost is no error."""
    try:
        box.logout()
    except (OSError, imaplib.IMAP4.error, ImapToolsError):
        box.client.shutdown()
