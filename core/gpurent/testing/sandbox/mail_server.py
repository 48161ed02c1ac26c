"""The sandbox's mail server: a real IMAP server (pymap) in the sandbox's event loop."""

from __future__ import annotations

import asyncio
import imaplib
import secrets
from argparse import Namespace
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Any

from gpurent.testing.sandbox.local_ports import HOST, find_free_port
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox.service_faults.mail_gate import MailFaultGate

ADDRESS = "student@sandbox.example"


class MailServer:
    """A mailbox at `ADDRESS`, and more on demand; mail to any other address is dropped."""

    def __init__(self, faults: ServiceFaults | None = None) -> None:
        self.host = HOST
        self.port = 0
        """The port for clients, whose commands may meet ``faults``; the server's own deliveries never do."""
        self.faults = faults or ServiceFaults()
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
        # One round: the password is random and only in memory, and more rounds would add 0.1 s to every login.
        self._backend, config = await DictBackend.init(args, hash_context=BuiltinHash(rounds=1))
        config.apply_context()
        await self._backend.start(self._stack)
        await IMAPService(self._backend, config).start(self._stack)
        gate = await MailFaultGate(self.faults, self._server_port, port).start()
        self._stack.push_async_callback(gate.close)
        self.port = gate.port

    async def close(self) -> None:
        await self._stack.aclose()

    async def deliver(
        self, *, to: str, sender: str, subject: str, text: str, at: datetime | None = None
    ) -> None:
        """Deliver a plain-text mail in UTF-8, dated ``at`` (default: the current wall-clock time)."""
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"], mail["Subject"] = sender, to, subject
        at = at or datetime.now(UTC)
        mail["Date"] = format_datetime(at)
        mail["Message-ID"] = make_msgid(domain="sandbox.example")
        mail.set_content(text)
        await self.deliver_raw(to, bytes(mail), at)

    async def deliver_raw(self, to: str, raw: bytes, at: datetime | None = None) -> None:
        """Deliver ``raw`` unchanged, however odd; received ``at``."""
        if to.lower() in self._passwords:
            await asyncio.to_thread(self._append, to.lower(), raw, at or datetime.now(UTC))

    def _append(self, to: str, raw: bytes, at: datetime) -> None:
        with imaplib.IMAP4(self.host, self._server_port, timeout=60) as client:
            client.login(to, self._passwords[to])
            kind, answer = client.append("INBOX", "", imaplib.Time2Internaldate(at), raw)
            if kind != "OK":
                raise RuntimeError(f"the mail server refused a mail: {answer!r}")
