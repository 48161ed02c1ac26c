"""What runs on a machine: transfers, launchers and sessions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from gpurent.domain.access import MachineProfile
from gpurent.domain.job import SessionInfo
from gpurent.domain.transfer import PullRequest, PushRequest, TransferReport, UploadPreview
from gpurent.ports.connection import SshConnection
from gpurent.ports.terminal import Progress


class TransferBackend(ABC):
    """Transfers files in both directions, resumes after a dropped connection, verifies by hash.

    A file appears under its final name only when it is complete. Modes and mtimes are kept; docs/transfer.md describes
    links and files that change during the transfer. After any failure, a new call resumes from what has verifiably
    arrived.

    Raises `TransferError` (with what is missing), `UnavailableError` if the connection is lost, and
    `TransferUnsupported` if this backend cannot do it here: raised before anything is transferred, from a request that
    it makes anyway; the backend of the next rank is then used.
    """

    @abstractmethod
    async def push(
        self, connection: SshConnection, request: PushRequest, progress: Progress
    ) -> TransferReport:
        """Upload. A full remote disk raises `TransferError`, in advance if it can be known, else during the upload.

        Every file and link that is sent, or is there already, is told to ``request.states`` as it was listed here.
        """

    @abstractmethod
    async def pull(
        self, connection: SshConnection, request: PullRequest, progress: Progress
    ) -> TransferReport:
        """Download. The machine is untrusted: nothing is ever written outside ``request.target``.

        What is written goes through a `SafeDir` with ``request.known``, which keeps the files that were changed here.
        """


class SupportsPredial(TransferBackend):
    """A backend that makes its own SSH login, which can therefore proceed in parallel with other work.

    A push with the same ``connection`` uses that login. Of the connection it needs only ``endpoint``, ``key_file`` and
    ``known_hosts``, so the connection need not be open.
    """

    @abstractmethod
    def start_login(self, connection: SshConnection, request: PushRequest) -> Callable[[], None] | None:
        """Start the login that a push of ``request`` will need, and return at once; nothing else is sent.

        Returns a function that closes the login if no push has used it, and does nothing after a push. Returns None if
        this backend cannot log in early here or for this request.
        """


class SupportsUploadPreview(TransferBackend):
    """A backend that can say what a push would transfer, without a connection."""

    @abstractmethod
    def preview_push(self, request: PushRequest) -> UploadPreview:
        """Scan the sources exactly as `push` does. Blocks; raises the errors that a push would raise beforehand."""


class Launcher(ABC):
    """A pure function from a command to a shell command line."""

    @abstractmethod
    def launch_command(self, command: tuple[str, ...], profile: MachineProfile) -> str:
        """Return the shell command line that runs ``command`` on a machine of ``profile``; arguments are quoted."""


class SessionBackend(ABC):
    """A terminal multiplexer such as screen. It runs nothing itself: it returns shell commands and reads their output.

    Core runs each command over SSH by a POSIX shell, whatever the login shell of the machine's user is, in the home
    folder, with that user's HOME. Session names have letters, digits, ``_`` and ``-`` only, paths may have anything:
    quote them. A tool that keeps files has a folder of its own in the home folder, such as ``~/.gpurent-mux``;
    ``~/.gpurent`` is core's.
    """

    @abstractmethod
    def probe_command(self) -> str:
        """Return a shell command that exits with 0 if the tool is installed; what it prints is ignored."""

    @abstractmethod
    def install_command(self, prefix: str) -> str:
        """Return the shell command that installs it; ``prefix`` installs packages (``sudo apt-get install -y``)."""

    @abstractmethod
    def start_command(self, name: str, script: str) -> str:
        """Return a shell command that starts ``sh script`` detached as the session ``name`` and exits at once.

        Core calls it only for a job that was never started. Should two processes start one at the same time, the
        script sees to it that the job runs once: the second start may fail, or make a session that ends at once. What a
        power loss has left of a session of that name (a socket, a lock) must not make it fail. What it prints is shown
        if no session appears.
        """

    @abstractmethod
    def list_command(self) -> str:
        """Return a shell command that prints the sessions; its exit status is ignored."""

    @abstractmethod
    def parse_sessions(self, output: str) -> Sequence[SessionInfo]:
        """Parse the output of `list_command`; unknown lines are skipped."""

    @abstractmethod
    def attach_command(self, session: SessionInfo) -> str:
        """Return the command, run in a PTY, that attaches to ``session``, and detaches whoever was attached before.

        The client before is often one whose connection was lost: it neither answers nor goes by itself. Two clients at
        once would share one size of the terminal.
        """

    @abstractmethod
    def stop_command(self, session: SessionInfo) -> str:
        """Return the shell command that ends ``session``, with what still runs in it.

        Core has ended the job before, with TERM and then KILL to its process group; TERM is enough here. When the
        command returns, the session is listed no more: it waits for that if the tool takes its time. A session that has
        just ended by itself is no error: the exit status is ignored.
        """

    def detach_hint(self) -> str:
        """Return how to detach from an attached session without ending it, in words ("Ctrl+a d")."""
        return ""
