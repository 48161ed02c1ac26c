"""Lines of our own to the machine: processes of the system's ssh, or channels of the connection that is open."""

from __future__ import annotations

import os
from threading import Lock
from time import monotonic, sleep

from gpurent_plugin_turbo.near.connection.tcp_tuning import HANDS
from gpurent_plugin_turbo.shared.wire import Line, widen

TYPE_CHECKING = False  # the real one costs an import
if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpurent.api import GpurentError, SshConnection
    from gpurent_plugin_turbo.near.connection.tcp_tuning import Grip

MOST_ERRORS = 1 << 20
KILL = 9  # signal.SIGKILL, without an import of enum
FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"


def _quoted(path: object) -> str:
    """A path as a value of ssh's options: quoted, and without its tokens."""
    return '"' + str(path).replace("%", "%%") + '"'


def ssh_command(link: SshConnection, settings: Mapping[str, str]) -> list[str]:
    """The system's ssh with the lease's key and pinned host key, and nothing of the user's own set-up."""
    options = {
        "BatchMode": "yes",
        "CheckHostIP": "no",
        "Ciphers": FAST_CIPHERS,
        "ClearAllForwardings": "yes",
        "Compression": "no",
        "ConnectTimeout": "20",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ForwardAgent": "no",
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": _quoted(link.key_file),
        "LogLevel": "ERROR",
        "PreferredAuthentications": "publickey",
        "ServerAliveInterval": "15",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "UserKnownHostsFile": _quoted(link.known_hosts),
    }
    if settings.get("kex"):
        options["KexAlgorithms"] = "^" + settings["kex"]
    found = ["ssh", "-F", "none", "-T", "-p", str(link.endpoint.port), "-l", link.endpoint.user]
    for name, value in options.items():
        found += ["-o", f"{name}={value}"]
    return [*found, "--", link.endpoint.address]


class Wire:
    """One open line; ``line`` carries frames. `end` may be called from any thread, twice too."""

    line: Line
    grip: Grip | None = None
    logs_in = False  # whether it begins with a login of its own

    @property
    def trip(self) -> float:
        """Seconds of a round trip on the path; 0.0: not known."""
        return self.grip.trip if self.grip is not None else 0.0

    @property
    def lossy(self) -> bool:
        """Whether packets get lost on it; true as well where nobody can say."""
        return self.grip is None or self.grip.lossy()

    def greeted(self) -> None:
        """The far end has spoken: the login is over."""
        if self.grip is not None:
            self.grip.calm()

    def end(self) -> None:
        """Cut it."""

    def close(self) -> None:
        """End it and take its remains away; nobody may use the line any more."""

    def why(self) -> GpurentError:
        """What ended it, in words. Waits for it."""
        raise NotImplementedError


class SshProcess(Wire):
    """One process of the system's ssh. `subprocess` is not asked: its import takes longer than a process does."""

    logs_in = True

    def __init__(self, link: SshConnection, settings: Mapping[str, str], command: str) -> None:
        self._where = str(link.endpoint)
        self._lock = Lock()
        self._status: int | None = None
        theirs_in, sink = os.pipe()
        source, theirs_out = os.pipe()
        self._errors, theirs_err = os.pipe()
        theirs = (theirs_in, theirs_out, theirs_err)
        self._pipes = [sink, source, self._errors]
        widen(sink)
        widen(source)
        try:
            self._pid = _spawn([*ssh_command(link, settings), command], theirs)
        finally:
            for pipe in theirs:
                os.close(pipe)
        os.set_blocking(sink, False)
        self.grip = HANDS.take(self._pid, link.endpoint.port)
        self.line = Line(source, sink)

    def end(self) -> None:
        with self._lock:
            if self._status is None:
                os.kill(self._pid, KILL)

    def close(self) -> None:
        self.end()
        self._wait(60)
        HANDS.drop(self.grip)
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes = []

    def _wait(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        until, pause = monotonic() + seconds, 0.0005
        while True:
            with self._lock:
                if self._status is None:
                    gone, status = os.waitpid(self._pid, os.WNOHANG)
                    self._status = os.waitstatus_to_exitcode(status) if gone else None
                if self._status is not None:
                    return True
            if monotonic() > until:
                return False
            sleep(pause)
            pause = min(pause * 2, 0.05)

    def why(self) -> GpurentError:
        from gpurent.api import AuthError, HostKeyChanged, TransferUnsupported, UnavailableError

        if not self._wait(5):
            self.end()
            self._wait(5)
        text = _all_of(self._errors).decode("utf-8", "replace").strip()[-300:]
        if self._status == 127:
            return TransferUnsupported(f"{self._where} has no python3", detail=text)
        if "Host key verification failed" in text or "REMOTE HOST IDENTIFICATION" in text:
            return HostKeyChanged(
                f"{self._where} shows another host key than the one of this lease", detail=text
            )
        if "Permission denied" in text:
            return AuthError(f"{self._where} refused the key", detail=text)
        return UnavailableError(f"the line to {self._where} is lost: {text or 'cut'}", retryable=True)


def _spawn(words: list[str], pipes: tuple[int, int, int]) -> int:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    actions = [(os.POSIX_SPAWN_DUP2, pipe, number) for number, pipe in enumerate(pipes)]
    try:
        # A session of its own: what the user types to us (Ctrl-C) is not for ssh.
        return os.posix_spawnp(words[0], words, environment, file_actions=actions, setsid=True)
    except NotImplementedError:
        return os.posix_spawnp(words[0], words, environment, file_actions=actions)


def _all_of(pipe: int) -> bytes:
    """What has been said and will not be added to: the process has ended."""
    os.set_blocking(pipe, False)
    found = b""
    try:
        while len(found) < MOST_ERRORS and (data := os.read(pipe, 1 << 16)):
            found += data
    except BlockingIOError:
        pass
    return found


def has_ssh() -> bool:
    return any(os.access(os.path.join(folder, "ssh"), os.X_OK) for folder in os.get_exec_path())
