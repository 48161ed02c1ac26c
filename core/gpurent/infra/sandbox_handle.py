"""The handle of a sandbox: the private file by which its user finds it, and by which it proves that it is that sandbox.

Any user of this computer can listen on a port of the loopback interface, so an address says nothing about who answers
there. A sandbox that runs holds all its ports; so whoever knows the handle's secret at its proof port owns the others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import asdict, field, frozen

from gpurent.domain.access import is_loopback
from gpurent.errors import UsageError
from gpurent.infra.platform.system import is_own_listener, read_private_file, write_private_file
from gpurent.locale import _

SANDBOX_VARIABLE = "GPURENT_SANDBOX"
"""Names the handle of the sandbox that a shell uses."""
HANDLE_FILE = "sandbox.json"
MAIL_SERVICE_NAME = "mail"
PROOF_HOST = "127.0.0.1"
PROOF_SECONDS = 10.0
_CHALLENGE_BYTES = 32


@frozen(kw_only=True)
class SandboxHandle:
    """A running sandbox, as its file describes it.

    ``services``: the URL of each simulator by name, and of the mailbox. ``logins``: what its user types to log in, by
    provider. ``control_url`` and ``token``: of its control API; empty if it has none.
    """

    pid: int
    proof_port: int
    secret: str = field(repr=False)
    services: Mapping[str, str]
    logins: Mapping[str, Mapping[str, str]] = field(factory=dict, repr=False)
    control_url: str = ""
    token: str = field(default="", repr=False)

    def write(self, path: Path) -> None:
        # The sandbox does not outlive a power loss.
        write_private_file(path, json.dumps(asdict(self)).encode(), is_durable=False)

    @classmethod
    def read(cls, path: Path) -> SandboxHandle:
        """Read the handle; raises `FileNotFoundError`, or `UsageError` if it is not a private file of this user."""
        found = read_private_file(path)
        try:
            values: dict[str, Any] = json.loads(found)
            return cls(**values)
        except (ValueError, TypeError):
            raise UsageError(_("{path} is not the file of a sandbox").format(path=path)) from None

    def lists(self, url: str) -> bool:
        """Return whether ``url`` lies on one of the services, all of which are on this computer."""
        origin = _parse_origin(url)
        return origin is not None and origin in {_parse_origin(found) for found in self.services.values()}

    def make_proof(self, challenge: str) -> str:
        """Return what only this sandbox can answer to ``challenge``."""
        import hmac

        text = f"gpurent sandbox {self.proof_port} {challenge}"
        return hmac.new(self.secret.encode(), text.encode(), "sha256").hexdigest()

    async def is_proven(self) -> bool:
        """Return whether the sandbox of this handle runs now. Nothing secret is sent."""
        import hmac
        import secrets

        challenge = secrets.token_hex(_CHALLENGE_BYTES)
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                answer = await _ask(self.proof_port, challenge)
        except (OSError, TimeoutError, ValueError):
            return False
        return hmac.compare_digest(answer, self.make_proof(challenge).encode())


def _parse_origin(url: str) -> tuple[str, int] | None:
    """Return scheme and port of a URL on this computer; None for any other."""
    try:
        parts = urlsplit(url)
        if parts.port is None or parts.username is not None or not is_loopback(parts.hostname or ""):
            return None
    except ValueError:
        return None
    return parts.scheme, parts.port


async def _ask(port: int, challenge: str) -> bytes:
    reader, writer = await asyncio.open_connection(PROOF_HOST, port, limit=1 << 10)
    try:
        writer.write(f"{challenge}\n".encode())
        return (await reader.readline()).strip()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def find_sandbox(environment: Mapping[str, str]) -> SandboxHandle | None:
    """Return the handle that ``environment`` names; None if it names none, or one that is gone.

    Raises `UsageError` if that is not a private file of this user.
    """
    named = environment.get(SANDBOX_VARIABLE, "")
    try:
        return SandboxHandle.read(Path(named)) if named else None
    except (FileNotFoundError, NotADirectoryError):
        return None


async def is_sandbox_service(environment: Mapping[str, str], url: str) -> bool:
    """Return whether ``url`` is a service of the sandbox that ``environment`` names, and that sandbox proves itself.

    Raises `UsageError` if the handle is not a private file of this user.
    """
    handle = find_sandbox(environment)
    if handle is None or not handle.lists(url) or not await handle.is_proven():
        return False
    # While the sandbox lets a service refuse connections, another user could listen on its port.
    return is_own_listener(urlsplit(url).port or 0)
