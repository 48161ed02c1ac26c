"""Client of a running sandbox: start it, find it, query it, stop it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from attrs import frozen

from gpurent.errors import UnavailableError, UsageError
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.locale import _
from gpurent.testing.load_timeouts import LoadDeadline, load_factor
from gpurent.testing.sandbox.daemon import STATE_FILE


@frozen(kw_only=True)
class SandboxClient:
    """Client of one sandbox process."""

    root: Path
    pid: int
    url: str
    token: str

    @classmethod
    def find_running(cls, root: Path) -> SandboxClient | None:
        """Return the sandbox that runs under ``root``; None if there is none, or only files of a killed one."""
        try:
            state = json.loads((root / STATE_FILE).read_text("utf-8"))
            os.kill(state["pid"], 0)
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            return None
        return cls(root=root, pid=state["pid"], url=state["url"], token=state["token"])

    @classmethod
    def start(cls, root: Path, options: Mapping[str, Any], timeout: float = 30.0) -> SandboxClient:
        """Start a sandbox in the background; it outlives this process. Its log is under ``root``.

        ``timeout``: seconds on an idle computer.
        """
        if cls.find_running(root) is not None:
            raise UsageError(
                _("a sandbox is already running in {folder}").format(folder=root),
                hint=_("Stop it first: gpurent sandbox down"),
            )
        make_private_folder(root)
        (root / STATE_FILE).unlink(missing_ok=True)
        with (root / "sandbox.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gpurent.testing.sandbox.daemon",
                    str(root),
                    json.dumps(dict(options)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = LoadDeadline(timeout)
        while not deadline.is_over:
            found = cls.find_running(root)
            if found is not None:
                return found
            if process.poll() is not None:
                break
            time.sleep(0.05)
        process.kill()
        tail = (root / "sandbox.log").read_text("utf-8", "replace")[-2000:]
        raise UnavailableError(
            "the sandbox did not come up", detail=tail, hint=tail.strip().rpartition("\n")[2]
        )

    def _request(self, method: str, path: str, **query: str) -> Any:
        request = Request(  # noqa: S310 - our own address on the loopback
            f"{self.url}{path}?{urlencode(query)}",
            method=method,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        try:
            with urlopen(request, timeout=60 * load_factor()) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except (URLError, HTTPError, TimeoutError) as error:
            raise UnavailableError(f"the sandbox does not answer: {error}") from None

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._request("GET", "/status")
        return found

    def environment(self, home: Path) -> dict[str, str]:
        found: dict[str, str] = self._request("GET", "/env", home=str(home))
        return found

    def advance(self, seconds: int) -> None:
        self._request("POST", "/advance", seconds=str(seconds))

    def cut_connections(self) -> int:
        """Cut every SSH connection and return how many there were."""
        return int(self._request("POST", "/cut")["cut"])

    def rent_manually(self, simulator: str) -> dict[str, str]:
        """Rent on the pages of ``simulator`` as a user would.

        Return ``ssh_command``, ``password`` and ``ref``.
        """
        return self._request_manual("/manual/rent", simulator=simulator)

    def stop_manually(self, simulator: str, ref: str) -> None:
        self._request_manual("/manual/end", simulator=simulator, ref=ref)

    def _request_manual(self, path: str, **query: str) -> dict[str, str]:
        found: dict[str, str] = self._request("POST", path, **query)
        if "error" in found:
            raise UsageError(found["error"])
        return found

    def stop(self, timeout: float = 20.0) -> None:
        """Stop the sandbox and wait until its process has ended."""
        self._request("POST", "/down")
        deadline = LoadDeadline(timeout)
        while not deadline.is_over:
            if not _is_alive(self.pid):
                return
            time.sleep(0.05)
        raise UnavailableError(f"the sandbox (process {self.pid}) does not end", hint=f"kill {self.pid}")


def _is_alive(pid: int) -> bool:
    try:
        waited, _status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return waited == 0
