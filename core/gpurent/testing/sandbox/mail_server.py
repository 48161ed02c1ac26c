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
from typing import Any, cast

from attrs import define, field, frozen

from gpurent.testing.sandbox.local_ports import HOST, find_free_port
from gpurent.testing.sandbox.service_faults import ServiceFaults
from gpurent.testing.sandbox.service_faults.mail_gate import MailFaultGate

ADDRESS = "student@sandbox.example"


@define(eq=False)
class LoginRefusals:
    """What the server answers to the next logins instead of letting them in. Passes for pymap's login service.

    ``own_ports``: the client ports of the server's own deliveries, which are never refused.
    """

    real: Any = None
    own_ports: set[int] = field(factory=set)
    login_count: int = 0
    _answers: list[tuple[str, bool]] = field(factory=list)

    def add(self, text: str, times: int, *, hang_up: bool) -> None:
        self._answers += [(text, hang_up)] * times

    @property
    def tokens(self) -> Any:
        return self.real.tokens

    async def authenticate(self, credentials: Any) -> Any:
        from pymap.context import socket_info

        peer: Any = socket_info.get().peername
        if peer[1] not in self.own_ports:
            self.login_count += 1
            if self._answers:
                raise _make_refusal(*self._answers.pop(0))
        return await self.real.authenticate(credentials)

    async def authorize(self, authenticated: Any, authzid: str) -> Any:
        return await self.real.authorize(authenticated, authzid)


def _make_refusal(text: str, hang_up: bool) -> Exception:
    """Return pymap's exception that answers a command with NO ``text``, or with BYE and a lost connection."""
    from pymap.exceptions import ResponseError
    from pymap.parsing.response import Response, ResponseBye, ResponseNo

    class LoginRefused(ResponseError):
        def get_response(self, tag: bytes) -> Response:
            return ResponseBye(text.encode()) if hang_up else ResponseNo(tag, text.encode())

    return LoginRefused()


@frozen
class _LoginService:
    """The part of a backend that pymap's IMAP service uses."""

    login: LoginRefusals
    config: Any


class MailServer:
    """A mailbox at `ADDRESS`, and more on demand; mail to any other address is dropped."""

    def __init__(self, faults: ServiceFaults | None = None) -> None:
        self.host = HOST
        self.port = 0
        """The port for clients, whose commands may meet ``faults``."""
        self._faults = faults or ServiceFaults()
        self._server_port = 0
        self._passwords: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self._backend: Any = None
        self._refusals = LoginRefusals()

    @property
    def login_count(self) -> int:
        """How often a client has logged in, or tried to."""
        return self._refusals.login_count

    def refuse_logins(self, text: str, times: int = 1, *, hang_up: bool = False) -> None:
        """Answer the next ``times`` logins with NO and ``text``; ``hang_up``: with BYE, and close the connection."""
        self._refusals.add(text, times, hang_up=hang_up)

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
        self._refusals.real = self._backend.login
        service = cast("Any", _LoginService(self._refusals, config))
        await IMAPService(service, config).start(self._stack)
        gate = await MailFaultGate(self._faults, self._server_port, port).start()
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
            port = client.sock.getsockname()[1]
            self._refusals.own_ports.add(port)
            client.login(to, self._passwords[to])
            kind, answer = client.append("INBOX", "", imaplib.Time2Internaldate(at), raw)
            if kind != "OK":
                raise RuntimeError(f"the mail server refused a mail: {answer!r}")
        self._refusals.own_ports.discard(port)
