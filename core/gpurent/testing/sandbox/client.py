"""Client of a running sandbox: start it, find it, query it, stop it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from attrs import frozen

from gpurent.child_processes import (
    PIPE,
    USER_VARIABLES,
    make_child_environment,
    make_python_command,
    start_program,
)
from gpurent.errors import UnavailableError, UsageError
from gpurent.infra.platform.posix.socket_owner import find_listener_uid
from gpurent.infra.platform.system import make_private_folder
from gpurent.infra.sandbox_handle import HANDLE_FILE, SandboxHandle
from gpurent.locale import _, get_language
from gpurent.testing.load_timeouts import LoadDeadline, load_factor
from gpurent.testing.sandbox.machine_levers import MachineLever
from gpurent.testing.sandbox.service_faults import ServiceFault

BAD_REQUEST = 400


@frozen(kw_only=True)
class SandboxClient:
    """Client of one sandbox process."""

    root: Path
    handle: SandboxHandle

    @classmethod
    def find_running(cls, root: Path) -> SandboxClient | None:
        """Return the sandbox that runs under ``root``; None if there is none, or only files of a killed one."""
        try:
            handle = SandboxHandle.read(root / HANDLE_FILE)
            os.kill(handle.pid, 0)
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError, PermissionError):
            return None
        if find_listener_uid(handle.proof_port) != os.getuid():
            return None  # the process has the number of a killed sandbox, and its ports may be another user's
        return cls(root=root, handle=handle)

    @property
    def pid(self) -> int:
        return self.handle.pid

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
        root = make_private_folder(root.absolute())
        (root / HANDLE_FILE).unlink(missing_ok=True)
        with (root / "sandbox.log").open("wb") as log:
            process = start_program(
                make_python_command("-m", "gpurent.testing.sandbox.daemon", str(root)),
                environment=make_child_environment((*USER_VARIABLES, "GPURENT_LANG", "GPURENT_SAFE")),
                stdin=PIPE,
                stdout=log,
                stderr=log,
                new_session=True,
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as sink:  # what it died of is in its log
            sink.write(json.dumps(dict(options)).encode())
        deadline = LoadDeadline(timeout)
        while not deadline.is_over:
            found = cls.find_running(root)
            if found is not None:
                return found
            if process.poll() is not None:
                break
            time.sleep(0.05)
        process.kill()
        tail = (root / "sandbox.log").read_text("utf-8", "replace")[-2000:].strip()
        hint = tail.rpartition("\n")[2] if "Traceback" in tail else tail
        raise UnavailableError(_("the sandbox did not come up"), detail=tail, hint=hint)

    def _request(self, path: str, *, wait: float = 60.0, **given: Any) -> Any:
        """Send ``given`` and return the answer. Raises `UsageError` for what the sandbox refuses."""
        request = Request(  # noqa: S310 - our own address on the loopback
            f"{self.handle.control_url}{path}",
            data=json.dumps(given).encode(),
            headers={"Authorization": f"Bearer {self.handle.token}", "Accept-Language": get_language()},
        )
        try:
            with urlopen(request, timeout=wait * load_factor()) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except HTTPError as error:
            with error:
                refusal = json.load(error) if error.code == BAD_REQUEST else None
            if refusal is None:
                raise UnavailableError(f"the sandbox does not answer: {error}") from None
            raise UsageError(refusal["error"], hint=refusal["hint"]) from None
        except (URLError, TimeoutError) as error:
            raise UnavailableError(f"the sandbox does not answer: {error}") from None

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._request("/status")
        return found

    def environment(self, home: Path) -> dict[str, str]:
        found: dict[str, str] = self._request("/env", home=str(home))
        return found

    def open_account(self, provider: str, label: str) -> dict[str, str]:
        """Return what a user enters at the login to the account ``label``, which is opened if it is new."""
        found: dict[str, str] = self._request("/account", provider=provider, label=label)
        return found

    def advance(self, seconds: int) -> None:
        self._request("/advance", seconds=seconds)

    def set_client_clock_error(self, seconds: int) -> None:
        """Make the client's clock run ahead of the providers' by ``seconds``, or behind if below 0."""
        self._request("/client-clock", seconds=seconds)

    def set_mail_check(self, check: str) -> None:
        """Let the mailbox say of each later mail that its sender's check has this result; see `MailCheck`."""
        self._request("/mail/check", check=check)

    def add_fault(self, fault: ServiceFault) -> dict[str, Any]:
        """Put ``fault`` in force and return it with its id and counts, as the other calls do."""
        found: dict[str, Any] = self._request("/faults/add", fault=fault.to_json())
        return found

    def list_faults(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request("/faults")
        return found

    def clear_faults(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """End the faults ``ids`` (none: all) and return them."""
        found: list[dict[str, Any]] = self._request("/faults/clear", ids=list(ids))
        return found

    def wait_for_fault(self, number: int, seconds: float) -> dict[str, Any] | None:
        """Wait until the fault was applied to a call; None if it was not within ``seconds``."""
        found: dict[str, Any] | None = self._request(
            "/faults/wait", id=number, seconds=seconds, wait=60.0 + seconds
        )
        return found

    def list_calls(self) -> dict[str, Any]:
        """Return the last calls of all services as ``calls``, and how many there were as ``count``."""
        found: dict[str, Any] = self._request("/calls")
        return found

    def list_machines(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._request("/machines")
        return found

    def pull_machine_lever(
        self, lever: MachineLever, ref: str, program: str = "", *, off: bool = False
    ) -> None:
        """See `MachineLevers.pull`."""
        self._request("/machines/pull", lever=lever, ref=ref, program=program, off=off)

    def cut_connections(self) -> int:
        """Cut every SSH connection and return how many there were."""
        return int(self._request("/cut"))

    def rent_manually(self, simulator: str) -> dict[str, str]:
        """Rent on the pages of ``simulator`` as a user would.

        Return ``ssh_command``, ``password`` and ``ref``.
        """
        found: dict[str, str] = self._request("/manual/rent", simulator=simulator)
        return found

    def stop_manually(self, simulator: str, ref: str) -> None:
        self._request("/manual/end", simulator=simulator, ref=ref)

    def stop(self, timeout: float = 20.0) -> None:
        """Stop the sandbox and wait until its process has ended."""
        self._request("/down")
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
