"""A connection through a process of the system's ssh, which may be started before the push that uses it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock
from time import monotonic, sleep

from gpurent import api
from gpurent_plugin_turbo import _
from gpurent_plugin_turbo.near.connection.command_connection import CommandConnection, StartMark
from gpurent_plugin_turbo.near.connection.tcp_tuning import SOCKET_TUNER
from gpurent_plugin_turbo.shared.wire import ConnectionEnded, FrameStream, enlarge_pipe

MAX_STDERR = 1 << 20
MAX_START = 1 << 16  # bytes read at once until the start is found
SSH_FAILED = 255  # exit status of ssh itself; any other is the command's
SIGKILL = 9  # signal.SIGKILL; importing signal would import enum
FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"


def _quote_option(path: object) -> str:
    """Return the path as a value for an ssh option: quoted, with percent tokens escaped."""
    return '"' + str(path).replace("%", "%%") + '"'


def make_ssh_arguments(connection: api.SshConnection, settings: Mapping[str, str]) -> list[str]:
    """Return an ssh command line with the lease's key and pinned host key, without the user's ssh configuration."""
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
        "IdentityFile": _quote_option(connection.key_file),
        "LogLevel": "ERROR",
        "PreferredAuthentications": "publickey",
        "ServerAliveInterval": "15",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "UserKnownHostsFile": _quote_option(connection.known_hosts),
    }
    if settings.get("kex_algorithms"):
        options["KexAlgorithms"] = "^" + settings["kex_algorithms"]
    found = ["ssh", "-F", "none", "-T", "-p", str(connection.endpoint.port), "-l", connection.endpoint.user]
    for name, value in options.items():
        found += ["-o", f"{name}={value}"]
    return [*found, "--", connection.endpoint.address]


class ProcessFrames(FrameStream):
    """Frames over two descriptors, without what start files print before them."""

    def __init__(self, source: int, sink: int, start: StartMark) -> None:
        super().__init__(source, sink)
        self._start, self._rest = start, b""

    def read_some(self, most: int) -> bytes:
        """Return received data, at least one byte and at most ``most``; empty at the end."""
        try:
            while not self._rest:
                data = os.read(self.source, most)
                if not data:
                    return b""
                self._rest = self._start.feed(data)
        except OSError:
            return b""
        data, self._rest = self._rest[:most], self._rest[most:]
        self.bytes_read += len(data)
        return data

    def read_into(self, view: memoryview) -> memoryview:
        done = 0
        while done < len(view) and (self._rest or not self._start.is_found):
            if not (data := self.read_some(min(len(view) - done, MAX_START))):
                raise ConnectionEnded("end of file")
            view[done : done + len(data)] = data
            done += len(data)
        if done < len(view):
            super().read_into(view[done:])
        return view


class SshProcess(CommandConnection):
    """A process of the system's ssh that runs a script of the shell."""

    needs_login = True
    frames: ProcessFrames

    def __init__(self, connection: api.SshConnection, settings: Mapping[str, str], script: str) -> None:
        self._endpoint = str(connection.endpoint)
        stream = api.make_shell_stream(connection.endpoint.user, script)
        self._start = StartMark(stream.mark)
        self._lock = Lock()
        self._exit_status: int | None = None
        child_stdin, sink = os.pipe()
        source, child_stdout = os.pipe()
        self._stderr, child_stderr = os.pipe()
        child_pipes = (child_stdin, child_stdout, child_stderr)
        self._pipes = [sink, source, self._stderr]
        enlarge_pipe(sink)
        enlarge_pipe(source)
        os.write(
            sink, stream.preamble
        )  # fits into the pipe, which the process may have closed as soon as it runs
        try:
            self._pid = api.spawn_program(
                [*make_ssh_arguments(connection, settings), stream.line],
                api.make_child_environment(("HOME",)),
                child_pipes,
            )
        finally:
            for pipe in child_pipes:
                os.close(pipe)
        os.set_blocking(sink, False)
        self.tuned_socket = SOCKET_TUNER.tune_process(self._pid, connection.endpoint.port)
        self.frames = ProcessFrames(source, sink, self._start)

    def read_some(self, most: int) -> bytes:
        return self.frames.read_some(most)

    def abort(self) -> None:
        with self._lock:
            if self._exit_status is None:
                os.kill(self._pid, SIGKILL)

    def close(self) -> None:
        self.abort()
        self._wait_for_exit(60)
        SOCKET_TUNER.release_socket(self.tuned_socket)
        for pipe in self._pipes:
            os.close(pipe)
        self._pipes = []

    def _wait_for_exit(self, seconds: float) -> bool:
        """Wait at most ``seconds``; return whether the process has ended."""
        until, pause = monotonic() + seconds, 0.0005
        while True:
            with self._lock:
                if self._exit_status is None:
                    gone, status = os.waitpid(self._pid, os.WNOHANG)
                    self._exit_status = os.waitstatus_to_exitcode(status) if gone else None
                if self._exit_status is not None:
                    return True
            if monotonic() > until:
                return False
            sleep(pause)
            pause = min(pause * 2, 0.05)

    def explain_end(self) -> api.GpurentError:
        if not self._wait_for_exit(5):
            self.abort()
            self._wait_for_exit(5)
        text = self._start.find_own_words(_read_stderr(self._stderr))[-300:]
        if self._start.is_found and self._exit_status is not None and 0 <= self._exit_status < SSH_FAILED:
            return self._explain_exit(self._endpoint, self._exit_status, text)
        if "Host key verification failed" in text or "REMOTE HOST IDENTIFICATION" in text:
            return api.HostKeyChanged(
                _("the host key of {endpoint} is not the one pinned for this lease").format(
                    endpoint=self._endpoint
                ),
                detail=text,
            )
        if "Permission denied" in text:
            return api.AuthError(
                _("{endpoint} rejected the key").format(endpoint=self._endpoint), detail=text
            )
        if self._exit_status is not None and 0 <= self._exit_status < SSH_FAILED:
            return self._explain_exit(self._endpoint, self._exit_status, text)
        return api.connection_lost_error(self._endpoint, text)


def _read_stderr(pipe: int) -> bytes:
    """Read all that is in the pipe; the process has ended, so nothing more will come."""
    os.set_blocking(pipe, False)
    found = b""
    try:
        while len(found) < MAX_STDERR and (data := os.read(pipe, 1 << 16)):
            found += data
    except BlockingIOError:
        pass
    return found


_predialed: dict[tuple[str, str], SshProcess] = {}


def predial(connection: api.SshConnection, settings: Mapping[str, str], command: str) -> None:
    """Start the login that ``command`` will need, and nothing else."""
    _predialed[str(connection.endpoint), command] = SshProcess(connection, settings, command)


def pop_predialed(connection: api.SshConnection, command: str) -> SshProcess | None:
    return _predialed.pop((str(connection.endpoint), command), None)


def close_predialed(connection: api.SshConnection, command: str) -> None:
    """Close the predialed connection if it was not used."""
    if (predialed := pop_predialed(connection, command)) is not None:
        predialed.close()


def has_ssh() -> bool:
    return api.find_program("ssh") is not None
