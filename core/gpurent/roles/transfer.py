"""Who carries files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from gpurent.domain.transfer import Pull, Push, TransferReport
from gpurent.ports.connection import SshConnection


class Progress(Protocol):
    """Told what happens while files travel. Bytes of files, not of the line."""

    def total(self, files: int, size: int) -> None:
        """How much there is; may be called again as the scan goes on."""

    def advance(self, size: int, name: str = "") -> None:
        """``size`` more bytes are verifiably there (or were there already)."""

    def file_done(self, name: str) -> None: ...


class TransferBackend(ABC):
    """Carries files both ways, resumes after a cut, verifies by hash.

    Final names appear only complete; modes and mtimes are kept; what becomes of links and of files that do not stand
    still is told in docs/transfer.md. Called again after any failure, it goes on
    from what has verifiably arrived. Errors: `TransferError` (with what is missing), `UnavailableError` when the line
    is lost, `TransferUnsupported` when this backend cannot do it here: said before anything moves, by the first
    thing that it asks the machine anyway; the next in rank is then taken.
    """

    @abstractmethod
    async def push(self, link: SshConnection, cargo: Push, progress: Progress) -> TransferReport:
        """Carry up. A full remote disk is a `TransferError` before, where it can be known, else during."""

    @abstractmethod
    async def pull(self, link: SshConnection, cargo: Pull, progress: Progress) -> TransferReport:
        """Bring home. The far side is hostile: never a byte outside ``cargo.target``."""


class SupportsPredial(TransferBackend):
    """A backend that logs in for itself, so that its login can go on beside everything else.

    A push over the link that was dialled takes that login, and needs of the link nothing but ``endpoint``, ``key_file``
    and ``known_hosts``: no connection has to be open.
    """

    @abstractmethod
    def dial(self, link: SshConnection, cargo: Push) -> Callable[[], None] | None:
        """Begin the login that a push of ``cargo`` will need, and return at once; None: not here, not for this cargo.

        What comes back ends a login that no push took; after a push it does nothing. Nothing is sent but the login.
        """
