"""Lines of our own to the machine: processes of the system's ssh, or channels of the connection that is open."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from gpurent.api import AuthError, GpurentError, HostKeyChanged, TransferUnfit, UnavailableError
from gpurent_plugin_turbo.grip import HANDS
from gpurent_plugin_turbo.wire import Line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpurent.api import Link

PIPE = 1 << 20
FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"


def _quoted(path: object) -> str:
    """A path as a value of ssh's options: quoted, and without its tokens."""
    return '"' + str(path).replace("%", "%%") + '"'


def ssh_command(link: Link, settings: Mapping[str, str]) -> list[str]:
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

    def end(self) -> None:
        """Cut it."""

    def close(self) -> None:
        """End it and take its remains away; nobody may use the line any more."""

    def why(self) -> GpurentError:
        """What ended it, in words. Waits for it."""
        raise NotImplementedError


class SshProcess(Wire):
    """One process of the system's ssh."""

    def __init__(self, link: Link, settings: Mapping[str, str], command: str) -> None:
        self._where = str(link.endpoint)
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._process = subprocess.Popen(
            [*ssh_command(link, settings), command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pipesize=PIPE,
            env=environment,
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise UnavailableError("ssh has no pipes", retryable=True)
        self._grip = HANDS.take(self._process.pid, link.endpoint.port)
        self.line = Line(self._process.stdout.fileno(), self._process.stdin.fileno())

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self.end()
        self._process.wait()
        HANDS.drop(self._grip)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def why(self) -> GpurentError:
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.end()
        said = self._process.stderr.read() if self._process.stderr is not None else b""
        text = said.decode("utf-8", "replace").strip()[-300:]
        if self._process.returncode == 127:
            return TransferUnfit(f"{self._where} has no python3", detail=text)
        if "Host key verification failed" in text or "REMOTE HOST IDENTIFICATION" in text:
            return HostKeyChanged(
                f"{self._where} shows another host key than the one of this lease", detail=text
            )
        if "Permission denied" in text:
            return AuthError(f"{self._where} refused the key", detail=text)
        return UnavailableError(f"the line to {self._where} is lost: {text or 'cut'}", retryable=True)


def has_ssh() -> bool:
    return shutil.which("ssh") is not None
