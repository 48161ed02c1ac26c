"""One sandbox with one user, who types real commands: every command and what came of it is written down."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, define, field, frozen

from gpurent.domain.money import Money
from gpurent.testing.load_timeouts import wait_within
from tests.reliability.providers import TestableProvider
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

SPEED = 100
DEADLOCK_SECONDS = 30
"""A command that takes longer, on an idle computer, is taken for stuck. At `SPEED` that is most of an hour."""
KILLED = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)
"""The exit codes of a command that ended at once."""
INTERRUPTED = (129, 130, 143)
"""The exit codes of a command that a signal asked to stop."""
_PRINTED_COMMAND = re.compile(
    r"gpurent ((?:resume|release|trips cancel|orphans|topup|balance|reconcile|watch --once)[\w .=-]*)"
)


@frozen(kw_only=True)
class KillPoint:
    """The point at which a command is killed, or something else happens; see `tests.reliability.kill_points`."""

    kind: str
    number: int
    what: str = "kill"

    def __str__(self) -> str:
        return f"{self.what} at {self.kind} {self.number}"


class CommandStuck(Exception):
    """A command did not end in time; it was killed."""


@frozen(kw_only=True)
class TypedCommand:
    """A command that the user typed, and what it printed. ``kill``: where it was to be killed."""

    arguments: tuple[str, ...]
    kill: KillPoint | None
    code: int
    out: str
    err: str
    seconds: float

    @property
    def was_killed(self) -> bool:
        return self.code in KILLED

    @property
    def was_stopped(self) -> bool:
        """Whether it was killed, or stopped by itself because of a signal, before it had shown its result."""
        return (self.was_killed or self.code in INTERRUPTED) and self.data is None

    @property
    def error(self) -> Mapping[str, Any]:
        """The error of the JSON document; empty without one."""
        found = self._document.get("error", {})
        return found if isinstance(found, dict) else {}

    @property
    def data(self) -> Any:
        """The data of the JSON document; None without any."""
        return self._document.get("data")

    @property
    def has_crashed(self) -> bool:
        """Whether it ended by itself without the JSON document that every command prints."""
        return not self.was_killed and not self._document

    @property
    def _document(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self.out)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def list_printed_commands(self) -> list[tuple[str, ...]]:
        """Return the commands that the user was told to type next."""
        text = f"{self.error.get('message', '')}\n{self.error.get('hint', '')}\n{self.err}"
        found = [tuple(match.rstrip(" .-=").split()) for match in _PRINTED_COMMAND.findall(text)]
        found += [("release", str(lease)) for lease in self.error.get("burning", ())]
        return list(dict.fromkeys(found))

    def __str__(self) -> str:
        end = "killed" if self.was_killed else f"rc {self.code}"
        aim = f" ({self.kill})" if self.kill is not None else ""
        why = f": {self.error['message']} | {self.error['hint']}" if self.error else ""
        return f"$ gpurent {' '.join(self.arguments)}{aim}  -> {end}, {self.seconds:.1f} s{why}"


@define(eq=False, kw_only=True)
class UserSandbox:
    """A sandbox and its user, logged in at ``provider`` with money in the account."""

    sandbox: TripSandbox
    provider: TestableProvider
    root: Path
    account: str = ""
    funded: Money | None = None
    term: tuple[str, ...] = ()
    """The options that a term of a prepaid machine needs."""
    commands: list[TypedCommand] = field(factory=list)
    notes: list[str] = field(factory=list)
    """The history in lines, for a report."""
    job_seconds: float = 0.1
    """How long the jobs of projects made from now on take, by this computer's clock."""
    computer: str = ""
    """What the lines of another computer begin with."""

    async def type_command(
        self,
        *arguments: str,
        kill: KillPoint | None = None,
        folder: Path | None = None,
        input_text: str = "",
        limits: Mapping[str, int] | None = None,
        copy: Mapping[str, object] | None = None,
    ) -> TypedCommand:
        """Type ``gpurent ARGUMENTS --json`` and return how it ended. Raises `CommandStuck`.

        ``limits``: resource limits of the process; ``copy``: copies of its data. See `tests.fork_server`.
        """
        given = ("-y", "--json", *arguments)
        points: dict[str, object] = {"limits": limits or {}, "copy": copy}
        if kill is not None:
            points["kill"] = asdict(kill)
        if limits:
            self.notes.append(f"# the next command has the limits {limits}")
        started = time.monotonic()
        work = self.sandbox.run_command(*given, folder=folder, input_text=input_text, points=points)
        try:
            result = await wait_within(DEADLOCK_SECONDS, work)
        except TimeoutError:
            self.notes.append(f"$ gpurent {' '.join(arguments)}  -> stuck")
            raise CommandStuck(" ".join(arguments)) from None
        typed = TypedCommand(
            arguments=arguments,
            kill=kill,
            code=result.code,
            out=result.out,
            err=result.err,
            seconds=time.monotonic() - started,
        )
        self.commands.append(typed)
        self.notes.append(f"{self.computer}{typed}")
        return typed

    async def list_living_leases(self, *options: str) -> Sequence[Mapping[str, Any]]:
        """Return what ``gpurent ls`` shows."""
        found = (await self.type_command("ls", *options)).data
        return found if isinstance(found, list) else []

    async def list_open_trips(self) -> Sequence[str]:
        found = (await self.type_command("trips")).data
        return [trip["id"] for trip in found or [] if trip["ended_at"] is None]

    @property
    def journal(self) -> Path:
        """The file of the user's Store."""
        return self.sandbox.home / "state" / "journal.sqlite"

    # what the services say

    def list_burning(self) -> Sequence[str]:
        return self.sandbox.cloud.burning()

    def sum_spent(self) -> int:
        """Return what left the account by the service's own ledger, in minor units, beyond what was paid in."""
        entries = self.sandbox.cloud.ledgers()[self.provider.funding]
        left = sum(entry.amount.amount for entry in entries if entry.account == self.account)
        return (self.funded.amount if self.funded else 0) - left

    @property
    def go_file(self) -> Path:
        """What held jobs wait for."""
        return self.root / "go"

    def make_project(self, number: int, *, is_held: bool = False) -> Path:
        """Make a folder with a job that leaves marks on this computer, which the machines share.

        ``is_held``: it runs until there is a `go_file`.
        """
        folder = self.root / f"project{number}"
        folder.mkdir()
        marks = self.root / "marks"
        marks.mkdir(exist_ok=True)
        lines = (
            f"echo started >> {marks}/{number}.started",
            f"while [ ! -e {self.go_file} ]; do sleep 0.1; done" if is_held else f"sleep {self.job_seconds}",
            f"echo result {number} > out.txt",
            f"echo ended >> {marks}/{number}.ended",
        )
        (folder / "job.sh").write_text("\n".join(lines) + "\n")
        return folder

    def has_result(self, number: int) -> bool:
        """Return whether the whole result of a project's job lies in its folder."""
        path = self.root / f"project{number}" / "out.txt"
        return path.exists() and path.read_text() == f"result {number}\n"

    def count_marks(self, number: int, kind: str) -> int:
        """Return how often the job ``started`` or ``ended``."""
        path = self.root / "marks" / f"{number}.{kind}"
        return len(path.read_text().splitlines()) if path.exists() else 0


@contextlib.asynccontextmanager
async def open_user_sandbox(
    provider: TestableProvider, *, machines: int = 6, speed: int = SPEED, is_funded: bool = True
) -> AsyncIterator[UserSandbox]:
    """Open a sandbox with a user who is logged in and has money, unless not; all of it is deleted at the end."""
    # In memory: a database there does not wait for a disk, which is what a kill leaves behind all the same.
    memory = Path("/dev/shm")
    folder = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="gpr-", dir=folder, ignore_cleanup_errors=True) as name:
        root = Path(name)
        async with trip_sandbox(root, machines=machines, speed=speed) as sandbox:
            made = UserSandbox(sandbox=sandbox, provider=provider, root=root)
            await _log_in(made, is_funded=is_funded)
            yield made


async def open_second_computer(user: UserSandbox) -> UserSandbox:
    """Return the same user at another computer: another data folder, logged in to the same account."""
    sandbox = TripSandbox(user.sandbox.cloud, user.root / "elsewhere" / "user")
    sandbox.home.mkdir(mode=0o700, parents=True)
    other = UserSandbox(sandbox=sandbox, provider=user.provider, root=user.root / "elsewhere")
    other.notes, other.computer = user.notes, "[the other computer] "
    await _log_in(other)
    return other


async def _log_in(user: UserSandbox, *, is_funded: bool = True) -> None:
    provider = user.provider
    funding = provider.get_funding(user.sandbox.cloud.simulators_by_name)
    fields = dict(funding.get_login_fields())
    options: list[str] = []
    secret = ""
    for name, value in fields.items():
        if name in provider.secret_fields:
            options += ["--stdin", name]
            secret = value
        else:
            options += ["-f", f"{name}={value}"]
    await user.type_command("login", provider.name, *options, input_text=secret)
    (identity,) = (await user.type_command("whoami")).data
    user.account = identity["account"]
    if is_funded:
        user.funded = await funding.add_money(user.account)
    if provider.renews:  # only what is prepaid can be
        user.term = ("--for", "2h")
