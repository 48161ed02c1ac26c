"""A user at an odd machine: the real command line, and what this computer sees of the machine."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncssh
from attrs import define, field, frozen

from gpurent.testing.load_timeouts import wait_within
from gpurent.testing.sandbox.fault_plan import FaultPlan
from gpurent.testing.sandbox.machines import BootedMachine, MachineSpec
from tests.command_line import run_command_async
from tests.machines.driver import OddDriver, OddInstance
from tests.machines.machine import Full, Login, Network, OddMachine
from tests.machines.started_command import StartedCommand, started_command

PASSWORD = "open sesame 7"
COMMAND_SECONDS, KNOWN_SECONDS = 20.0, 4.0
"""What a command may take, in seconds of an idle computer, before it is taken for stuck; where that is known, less."""
SLOW_LINE = FaultPlan(rtt=0.3, rate=100_000)


@frozen
class Printed:
    """A command that the user typed, and what came of it. Code None: it was stuck."""

    line: str
    code: int | None
    out: str
    err: str

    @property
    def words(self) -> str:
        """The error and its hint in one line, without what was printed before them."""
        if self.code is None:
            return "stuck"
        with suppress(ValueError, KeyError, TypeError):
            error = json.loads(self.out)["error"]
            return " ".join(f"{error['message']} {error['hint']}".split())
        shown = self.err.strip() or self.out.strip()
        return " ".join(shown[max(shown.rfind("Error:"), 0) :].split())


class ActFailed(Exception):
    """The product did not do what it was told to do."""

    def __init__(self, printed: Printed, why: str = "") -> None:
        super().__init__(f"$ gpurent {printed.line}  -> rc {printed.code}: {why or printed.words}")
        self.printed, self.why = printed, why


@define(eq=False)
class Visit:
    odd: OddMachine
    machine: BootedMachine
    driver: OddDriver
    instance: OddInstance
    root: Path
    lease: str = ""
    patience: float = COMMAND_SECONDS
    typed: list[Printed] = field(factory=list)

    @property
    def home(self) -> Path:
        """The machine's home folder as this computer sees it."""
        return self.instance.home_here

    @property
    def ssh_line(self) -> str:
        if self.odd.network is Network.IPV6:
            return f"ssh {self.odd.user}@[::1] -p {self.instance.port}"
        return f"ssh {self.odd.user}@{self.machine.host} -p {self.machine.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "user"),
            "LANG": "C.UTF-8",
            "GPURENT_LANG": "en",
            "GPURENT_HOME": str(self.root / "user" / "state"),
            "GPURENT_STATE_HOME": str(self.root / "user" / "copies"),
            "TERM": self.odd.terminal,
        }

    async def type(self, *arguments: str, input_text: str = "") -> Printed:
        """Type ``gpurent ARGUMENTS``, without a terminal, and wait for the end."""
        line = " ".join(arguments)
        work = run_command_async(
            "-y", *arguments, environment=self.environment, folder=self.root / "user", input_text=input_text
        )
        try:
            ran = await wait_within(self.patience, work)
            printed = Printed(line, ran.code, ran.out, ran.err)
        except TimeoutError:
            printed = Printed(line, None, "", "")
        self.typed.append(printed)
        return printed

    async def require(self, *arguments: str, code: int = 0, input_text: str = "") -> Printed:
        """The same for a command that must end with ``code``; raises `ActFailed`."""
        printed = await self.type(*arguments, input_text=input_text)
        if printed.code != code:
            raise ActFailed(printed)
        if "site-packages" in printed.err:
            raise ActFailed(printed, f"a library's warning is printed: {printed.err[:200]}")
        return printed

    @contextmanager
    def started(self, *arguments: str, has_terminal: bool = False) -> Iterator[StartedCommand]:
        """Start a command that runs until the user ends it; on a terminal of its own with ``has_terminal``."""
        folder = self.root / "user"
        with started_command(arguments, self.environment, folder, has_terminal=has_terminal) as command:
            try:
                yield command
            finally:
                self.typed.append(Printed(" ".join(arguments), command.code, command.out, command.err))

    def list_commands(self) -> list[str]:
        """Return the command lines of the machine's processes."""
        found = []
        for pid in self.instance.list_processes():
            try:
                found.append(
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
        return found


@asynccontextmanager
async def visit(odd: OddMachine, root: Path) -> AsyncIterator[Visit]:
    """Boot the machine and let a new user sit at this computer; all ends with the block."""
    (root / "user").mkdir(mode=0o700)
    driver = OddDriver(root / "machine", odd)
    try:
        key = _make_key(root / "user" / "key") if odd.login is Login.KEY else ""
        spec = MachineSpec(
            user=odd.user,
            password="" if key else PASSWORD,
            hostname="odd",
            data="odd",
            missing=odd.missing,
            disk_bytes=odd.disk_bytes,
            authorized_keys=(key,) if key else (),
            port=_find_high_port() if odd.network is Network.HIGH_PORT else 0,
        )
        machine = await driver.boot(spec)
        assert driver.instance is not None
        if odd.network is Network.SLOW:
            machine.proxy.plan = SLOW_LINE
        if odd.full is Full.ALWAYS:
            await driver.fill_disk(machine.id, True)
        yield Visit(odd=odd, machine=machine, driver=driver, instance=driver.instance, root=root)
    finally:
        await driver.close()


def _make_key(path: Path) -> str:
    """Write a private key of the user's own; return its public line."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.write_bytes(key.export_private_key())
    path.chmod(0o600)
    return key.export_public_key().decode().strip()


def _find_high_port() -> int:
    for port in random.SystemRandom().sample(range(64000, 65536), 50):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no high port is free")
