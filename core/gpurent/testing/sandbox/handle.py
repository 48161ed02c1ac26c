"""A running sandbox from outside: raise it, find it, ask it, end it."""

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
from gpurent.infra.platform.posix.system import private_folder
from gpurent.testing.patience import Deadline, factor
from gpurent.testing.sandbox.daemon import STATE


@frozen(kw_only=True)
class Sandbox:
    """The control of one sandbox process."""

    root: Path
    pid: int
    url: str
    token: str

    @classmethod
    def find(cls, root: Path) -> Sandbox | None:
        """The sandbox that lives under ``root``; None when there is none, or only what a killed one left."""
        try:
            state = json.loads((root / STATE).read_text("utf-8"))
            os.kill(state["pid"], 0)
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            return None
        return cls(root=root, pid=state["pid"], url=state["url"], token=state["token"])

    @classmethod
    def up(cls, root: Path, options: Mapping[str, Any], patience: float = 30.0) -> Sandbox:
        """Raise one in the background; it outlives this process. Its log lies under ``root``.

        ``patience``: seconds of an idle computer.
        """
        if cls.find(root) is not None:
            raise UsageError(f"a sandbox is already up under {root}", hint="gpurent sandbox down")
        private_folder(root)
        (root / STATE).unlink(missing_ok=True)
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
        deadline = Deadline(patience)
        while not deadline.over:
            found = cls.find(root)
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

    def _ask(self, method: str, path: str, **query: str) -> Any:
        request = Request(  # noqa: S310 - our own address on the loopback
            f"{self.url}{path}?{urlencode(query)}",
            method=method,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        try:
            with urlopen(request, timeout=60 * factor()) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except (URLError, HTTPError, TimeoutError) as error:
            raise UnavailableError(f"the sandbox does not answer: {error}") from None

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", "/status")
        return found

    def environment(self, home: Path) -> dict[str, str]:
        found: dict[str, str] = self._ask("GET", "/env", home=str(home))
        return found

    def advance(self, seconds: int) -> None:
        self._ask("POST", "/advance", seconds=str(seconds))

    def cut(self) -> int:
        """Drop every SSH line; how many there were."""
        return int(self._ask("POST", "/cut")["cut"])

    def rent_by_hand(self, portal: str) -> dict[str, str]:
        """A person rents on the pages of ``portal``: ``line``, ``password``, ``ref``."""
        return self._by_hand("/hand/rent", portal=portal)

    def end_by_hand(self, portal: str, ref: str) -> None:
        self._by_hand("/hand/end", portal=portal, ref=ref)

    def _by_hand(self, path: str, **query: str) -> dict[str, str]:
        found: dict[str, str] = self._ask("POST", path, **query)
        if "error" in found:
            raise UsageError(found["error"])
        return found

    def down(self, patience: float = 20.0) -> None:
        """End it and wait until its process is gone."""
        self._ask("POST", "/down")
        deadline = Deadline(patience)
        while not deadline.over:
            if not _alive(self.pid):
                return
            time.sleep(0.05)
        raise UnavailableError(f"the sandbox (process {self.pid}) does not end", hint=f"kill {self.pid}")


def _alive(pid: int) -> bool:
    try:
        waited, _status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return waited == 0
