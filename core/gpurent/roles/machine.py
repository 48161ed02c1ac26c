"""What is done on a machine: files carried, jobs launched and kept alive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from gpurent.domain.access import MachineProfile
from gpurent.domain.session import SessionInfo
from gpurent.domain.transfer import PullRequest, PushRequest, TransferReport
from gpurent.ports.connection import SshConnection
from gpurent.ports.terminal import Progress


class TransferBackend(ABC):
    """Carries files both ways, resumes after a cut, verifies by hash.

    Final names appear only complete; modes and mtimes are kept; what becomes of links and of files that do not stand
    still is told in docs/transfer.md. Called again after any failure, it goes on
    from what has verifiably arrived. Errors: `TransferError` (with what is missing), `UnavailableError` when the line
    is lost, `TransferUnsupported` when this backend cannot do it here: said before anything moves, by the first
    thing that it asks the machine anyway; the next in rank is then taken.
    """

    @abstractmethod
    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        """Carry up. A full remote disk is a `TransferError` before, where it can be known, else during."""

    @abstractmethod
    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        """Bring home. The far side is hostile: never a byte outside ``cargo.target``."""


class SupportsPredial(TransferBackend):
    """A backend that logs in for itself, so that its login can go on beside everything else.

    A push over the link that was dialled takes that login, and needs of the link nothing but ``endpoint``, ``key_file``
    and ``known_hosts``: no connection has to be open.
    """

    @abstractmethod
    def start_login(self, connection: SshConnection, request: PushRequest) -> Callable[[], None] | None:
        """Begin the login that a push of ``request`` will need, and return at once; None: not here, not for this cargo.

        What comes back ends a login that no push took; after a push it does nothing. Nothing is sent but the login.
        """


class Launcher(ABC):
    """A pure function from command to command."""

    @abstractmethod
    def launch_command(self, command: tuple[str, ...], profile: MachineProfile) -> str:
        """The shell line that runs ``command`` on a machine of ``profile``; arguments quoted."""


class SessionBackend(ABC):
    """A terminal keeper such as screen. Session names are checked by core (`gpurent.domain.session.NAME`)."""

    @abstractmethod
    def probe_command(self) -> str:
        """A shell command whose status says whether the tool is there: 0 yes."""

    @abstractmethod
    def install_command(self, prefix: str) -> str:
        """The shell command that installs it, given the machine's package command (``sudo apt-get install -y``)."""

    @abstractmethod
    def start_command(self, name: str, script: str) -> str:
        """A shell command that starts ``sh script`` detached under ``name`` and returns at once."""

    @abstractmethod
    def list_command(self) -> str:
        """A shell command that prints the sessions; its status does not matter."""

    @abstractmethod
    def parse_sessions(self, output: str) -> Sequence[SessionInfo]:
        """The sessions in what `listing` printed; unknown lines are passed over."""

    @abstractmethod
    def attach_command(self, session: SessionInfo) -> str:
        """The command to run under a PTY to get into ``session``, taking it over from a line that was lost."""

    @abstractmethod
    def stop_command(self, session: SessionInfo) -> str:
        """The shell command that ends ``session`` and everything in it."""

    def detach_hint(self) -> str:
        """How a person leaves an attached session without ending it, in words ("Ctrl+a d")."""
        return ""
