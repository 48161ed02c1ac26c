"""A user who makes mistakes with money and machines, reads the hint of the error, and types every command in it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread
from typing import Any

from attrs import field, frozen

from gpurent.errors import GpurentError
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent.testing.shared_sandbox import CommandLineResult, CommandLineUser, SharedSandbox

SPEED = 120
# As in `tests.cli.test_printed_commands`, but of a text that is complete.
_PRINTED = re.compile(r"[:：] ?gpurent ((?:[!-~]+ ?)+)(?=$|\n)", re.MULTILINE)


@frozen
class ShownError:
    """An error as ``--json`` shows it."""

    code: str
    message: str
    hint: str
    burning: tuple[str, ...]

    def list_commands(self) -> list[list[str]]:
        return [shlex.split(found[1].rstrip(" .")) for found in _PRINTED.finditer(self.hint)]


@frozen
class HintUser:
    """One user of the shared sandbox, with accounts of his own; ``folder`` is where he works."""

    sandbox: SharedSandbox
    user: CommandLineUser
    folder: Path
    name: str
    addresses: dict[str, str] = field(factory=dict)
    """The user's own, by the service that keeps their balance."""

    def type_line(self, line: str, code: int | None = 0) -> CommandLineResult:
        """Type ``gpurent -y LINE``; ``code``: the exit code that it must have, None for any."""
        result = self.user.run("-y", *shlex.split(line))
        assert code is None or result.code == code, f"gpurent {line}: {result.code}\n{result.out}{result.err}"
        return result

    def read(self, line: str) -> Any:
        return self.type_line(f"--json {line}").data

    def fail(self, line: str, error: type[GpurentError]) -> ShownError:
        """Type a command that must fail with ``error``, whose hint is returned."""
        result = self.user.run("-y", "--json", *shlex.split(line))
        found = json.loads(result.out)
        assert not found["ok"], f"gpurent {line} did not fail"
        shown = found["error"]
        assert (shown["code"], result.code) == (error.code, error.exit_code), f"{shown}\n{result.err}"
        return ShownError(shown["code"], shown["message"], shown["hint"], tuple(shown["burning"]))

    def type_hint(self, shown: ShownError) -> None:
        """Type every command of the hint, in order; each must succeed. The user pays what has to be paid.

        The way to go on with a trip is the last resort, where another command ends it: then there is nothing to resume.
        """
        commands = shown.list_commands()
        assert commands, f"no command in the hint: {shown}"
        for words in commands:
            with self.paying() if words[0] == "topup" else nullcontext():
                is_alternative = words[0] == "resume" and len(commands) > 1
                self.type_line(shlex.join(words), code=None if is_alternative else 0)

    def write_configuration(self, text: str) -> None:
        path = self.user.home / "gpurent" / "config.toml"
        path.touch(mode=0o600)
        path.write_text(text)

    def count_burning_machines(self) -> int:
        """Return the number of machines on the user's account at mistgpu that cost money now."""
        simulator: Any = self.sandbox.cloud.simulators_by_name["mistgpu"]
        return sum(server.running for server in simulator.state.list_servers(self.name))

    # accounts

    def log_in_at_mistgpu(self, yuan: str) -> None:
        """Sign up and log in with so much money; an empty text: none."""
        form = {"username": self.name, "password": "password-1"}
        self.sandbox.request("mistgpu", "POST", "/signup/", form=form)
        line = ("login", "mistgpu", "-f", f"username={self.name}", "--stdin", "password")
        assert self.user.run(*line, input_text="password-1\n").code == 0
        if yuan:
            with self.paying():
                self.type_line(f"topup mistgpu {yuan}")

    def log_in_at_chain(self, provider: str, faucet: str, amount: str) -> None:
        account = str(self.read(f"login {provider}")["account"])
        self.addresses[faucet] = account
        self.sandbox.post(faucet, "/sandbox/faucet", address=account, amount=amount)

    @contextmanager
    def paying(self) -> Iterator[None]:
        """Pay, in the block, what the user's account asks for, as the user does in a browser."""
        done = Event()
        thread = Thread(target=self._pay, args=(done,))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _pay(self, done: Event) -> None:
        pages: Any = self.sandbox.cloud.simulators_by_name["mistgpu"]
        while not done.wait(0.05):
            for page in list(pages.state.top_ups.values()):
                if page.account == self.name and page.settled_at is None:
                    self.sandbox.request("mistgpu", "POST", f"/pay/alipay/{page.id}/settle")
            if "dbc" in self.addresses and not done.wait(0.5):
                self.sandbox.post("dbc", "/sandbox/faucet", address=self.addresses["dbc"], amount="80000")

    # faults

    @contextmanager
    def fault(self, service: str, **options: Any) -> Iterator[None]:
        """A fault of a service, in force in the block."""
        faults = self.sandbox.cloud.faults
        self.sandbox.run_in_loop(faults.add(ServiceFault(service=service, **options)))
        try:
            yield
        finally:
            self.sandbox.run_in_loop(faults.clear())

    @contextmanager
    def held_until_too_late(self, service: str, path: str) -> Iterator[None]:
        """The first call in the block with that path reaches the service a quarter of an hour late."""
        faults, sandbox = self.sandbox.cloud.faults, self.sandbox
        fault = sandbox.run_in_loop(faults.add(ServiceFault(service=service, path=path, hold=True, times=1)))

        def let_go() -> None:
            sandbox.run_in_loop(fault.wait_until_applied())
            sandbox.advance(minutes=15)
            sandbox.run_in_loop(faults.clear(fault.id))

        thread = Thread(target=let_go, daemon=True)
        thread.start()
        yield
        thread.join(30)
        assert not thread.is_alive(), f"{path} was never called"
