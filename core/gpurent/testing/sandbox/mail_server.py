"""The sandbox's mail server: a real IMAP server (pymap) in the sandbox's event loop."""

from __future__ import annotations

import asyncio
import imaplib
import secrets
from argparse import Namespace
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from enum import Enum
from typing import Any

from gpurent.testing.sandbox.local_ports import HOST, find_free_port
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox.service_faults.mail_gate import MailFaultGate

ADDRESS = "student@sandbox.example"
AUTHSERV_ID = "mail.sandbox.example"
_HEADER = "Authentication-Results"


class MailCheck(Enum):
    """What the server writes about a mail's sender. NONE: nothing, like a service that checks no mail."""

    PASS = "pass"
    FAIL = "fail"
    NONE = "none"


class MailServer:
    """A mailbox at `ADDRESS`, and more on demand; mail to any other address is dropped.

    As `AUTHSERV_ID`, it writes `check` about the sender of each mail, and removes what the mail brings under that name.
    """

    def __init__(self, faults: ServiceFaults | None = None) -> None:
        self.host = HOST
        self.port = 0
        """The port for clients, whose commands may meet ``faults``; the server's own deliveries never do."""
        self.faults = faults or ServiceFaults()
        self.check = MailCheck.PASS
        self._server_port = 0
        self._passwords: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self._backend: Any = None

    def get_password(self, address: str) -> str:
        return self._passwords.get(address, "")

    async def open_mailbox(self, address: str) -> None:
        """Create an empty mailbox with its own password; ``address`` is in lower case."""
        from pymap.backend.dict import Identity
        from pymap.user import Passwords, UserMetadata

        config = self._backend.config
        password = self._passwords[address] = secrets.token_urlsafe(12)
        hashed = await Passwords(config).hash_password(password)
        made = UserMetadata(config, address, password=hashed)
        await Identity(address, self._backend.login, None, frozenset()).set(made)

    async def start(self, port: int = 0) -> None:
        from pymap.backend.dict import DictBackend
        from pymap.concurrent import Subsystem
        from pymap.imap import IMAPService
        from pysasl.hashing import BuiltinHash

        self._server_port = find_free_port()
        args = Namespace(
            host=self.host,
            port=self._server_port,
            cert=None,
            key=None,
            tls=False,
            proxy_protocol=None,
            inherited_sockets=None,
            passlib_cfg=None,
            debug=False,
            demo_data=False,
            demo_user=ADDRESS,
            demo_password=self._passwords.setdefault(ADDRESS, secrets.token_urlsafe(12)),
        )
        # One round: the password is random and only in memory, and more rounds would add 0.1 s to every login. And no
        # threads, whose event loops pymap never closes.
        self._backend, config = await DictBackend.init(
            args, hash_context=BuiltinHash(rounds=1), cpu_subsystem=Subsystem.for_asyncio()
        )
        config.apply_context()
        await self._backend.start(self._stack)
        await IMAPService(self._backend, config).start(self._stack)
        gate = await MailFaultGate(self.faults, self._server_port, port).start()
        self._stack.push_async_callback(gate.close)
        self.port = gate.port

    async def close(self) -> None:
        await self._stack.aclose()

    async def deliver(
        self,
        *,
        to: str,
        sender: str,
        subject: str,
        text: str,
        at: datetime | None = None,
        check: MailCheck | None = None,
    ) -> None:
        """Deliver a plain-text mail in UTF-8, dated ``at`` (default: the current wall-clock time).

        ``check``: what the server writes about its sender, if not what it writes about all.
        """
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"], mail["Subject"] = sender, to, subject
        at = at or datetime.now(UTC)
        mail["Date"] = format_datetime(at)
        mail["Message-ID"] = make_msgid(domain="sandbox.example")
        mail.set_content(text)
        await self.receive(to, bytes(mail), at, check)

    async def receive(
        self, to: str, raw: bytes, at: datetime | None = None, check: MailCheck | None = None
    ) -> None:
        """Receive a mail from outside: check its sender, and write the result above its headers."""
        await self.deliver_raw(to, write_check(raw, check or self.check), at)

    async def deliver_raw(self, to: str, raw: bytes, at: datetime | None = None) -> None:
        """Deliver ``raw`` unchanged and unchecked, however odd; received ``at``."""
        if to.lower() in self._passwords:
            await asyncio.to_thread(self._append, to.lower(), raw, at or datetime.now(UTC))

    def _append(self, to: str, raw: bytes, at: datetime) -> None:
        with imaplib.IMAP4(self.host, self._server_port, timeout=60) as client:
            client.login(to, self._passwords[to])
            kind, answer = client.append("INBOX", "", imaplib.Time2Internaldate(at), raw)
            if kind != "OK":
                raise RuntimeError(f"the mail server refused a mail: {answer!r}")


def write_check(raw: bytes, check: MailCheck) -> bytes:
    """Return the mail with the result of the check on top, and without any under this server's name."""
    mail = message_from_bytes(raw, policy=policy.compat32)
    others = [value for value in mail.get_all(_HEADER, []) if AUTHSERV_ID not in str(value).lower()]
    if len(others) != len(mail.get_all(_HEADER, [])):
        del mail[_HEADER]
        for value in others:
            mail[_HEADER] = value
        raw = mail.as_bytes(policy=policy.compat32.clone(linesep="\r\n"))
    if check is MailCheck.NONE:
        return raw
    domain = parseaddr(str(mail.get("From", "")))[1].rpartition("@")[2].lower() or "unknown.example"
    found = check.value
    results = f"dmarc={found} header.from={domain}; spf={found} smtp.mailfrom={domain}; dkim={found} header.d={domain}"
    return f"{_HEADER}: {AUTHSERV_ID};\r\n {results}\r\n".encode() + raw
