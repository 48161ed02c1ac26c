"""A sandbox and applications in one event loop, for whole trips over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
from attrs import define, evolve, field

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.question import Question
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.testing.load_timeouts import adapt_speed
from gpurent.testing.sandbox.fault_proxy import FaultProxy
from gpurent.testing.sandbox.machines.programs import shared_link_farms
from gpurent.testing.sandbox.simulated_cloud import SandboxOptions, SimulatedCloud
from gpurent.testing.sandbox_harness import installed_plugins
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import NO_POINTS, run_command_async

ROOT = Path(__file__).parents[2]
DIGITS_EXAMPLE = ROOT / "examples" / "digits"
HIDDEN_PROMPTS = ("Password", "Passphrase", "Value of")


def load_plugins() -> EntryPointRegistry:
    """Load what an application finds; once for what is installed, since a registry never changes."""
    return _load_plugins_of(tuple(sys.path))


@cache
def _load_plugins_of(_path: tuple[str, ...]) -> EntryPointRegistry:
    registry = EntryPointRegistry.load(builtin=[builtin_entries])
    assert not registry.problems, registry.problems
    return registry


@define
class ByteCounter:
    """A progress that only counts bytes."""

    files: int = 0
    size: int = 0
    moved: int = 0

    def set_total(self, files: int, size: int) -> None:
        self.files, self.size = files, size

    def advance(self, size: int, name: str = "") -> None:
        self.moved += size

    def finish_file(self, name: str) -> None:
        pass


@define
class WatchedCounter(ByteCounter):
    """Calls ``on_first_bytes`` before the first bytes are counted."""

    on_first_bytes: Callable[[], None] = lambda: None
    has_begun: bool = False

    def advance(self, size: int, name: str = "") -> None:
        if not self.has_begun:
            self.has_begun = True
            self.on_first_bytes()
        super().advance(size, name)


@define
class ScriptedUser:
    """A user who answers from a list and records what was shown; ``confirms``: what is answered after the order.

    ``agrees_to_price``: the answer to the price before it; None: nobody is there to answer. ``pays_binding``: agrees to
    the fee for binding an e-mail address. ``trusts_machines``: agrees to a first contact that nothing speaks against.
    """

    answers: dict[str, str] = field(factory=dict)
    events: list[Event] = field(factory=list)
    output: bytearray = field(factory=bytearray)
    confirms: bool = False
    agrees_to_price: bool | None = True
    trusts_machines: bool = True
    pays_binding: bool = True
    is_interactive: bool = False
    watchers: list[Callable[[Event], None]] = field(factory=list)
    questions: list[Question] = field(factory=list)

    def show_event(self, event: Event) -> None:
        self.events.append(event)
        for watcher in list(self.watchers):
            watcher(event)

    @property
    def can_confirm(self) -> bool:
        return self.agrees_to_price is not None

    async def confirm(self, question: Question) -> bool:
        self.questions.append(question)
        if question.id.startswith("spend:"):
            return bool(self.agrees_to_price)
        if question.id.startswith("contact:") and not question.needs_person:
            return self.trusts_machines
        return self.confirms or (self.pays_binding and question.id.startswith("bind-mail:"))

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        self.questions.append(question)
        return await self.ask_question(question)

    async def ask_question(self, question: Question) -> str | None:
        return next((answer for part, answer in self.answers.items() if part in question.text), None)

    def show_output(self, data: bytes) -> None:
        self.output += data

    def start_progress(self, title: str) -> ByteCounter:
        return ByteCounter()

    def event_kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]

    async def wait_for_event(self, kind: EventKind) -> None:
        """Wait until an event of this kind is shown that was not shown before."""
        shown = asyncio.Event()

        def watch(event: Event) -> None:
            if event.kind is kind:
                shown.set()

        self.watchers.append(watch)
        try:
            await shown.wait()
        finally:
            self.watchers.remove(watch)


@define
class TripSandbox:
    """The sandbox's cloud, and how to open applications in it."""

    cloud: SimulatedCloud
    home: Path
    extra_environment: dict[str, str] = field(factory=dict)

    def environment(self) -> Mapping[str, str]:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        return {**base, **self.cloud.environment(self.home / "state"), **self.extra_environment}

    @contextlib.asynccontextmanager
    async def open_application(self, user: ScriptedUser | None = None) -> AsyncIterator[Application]:
        self.home.mkdir(mode=0o700, exist_ok=True)
        made = Application(load_plugins(), self.home / "state", self.environment(), user or ScriptedUser())
        try:
            await made.start()
            yield made
        finally:
            await made.aclose()

    async def run_command(
        self,
        *arguments: str,
        input_text: str = "",
        folder: Path | None = None,
        points: Mapping[str, object] = NO_POINTS,
    ) -> CommandLineResult:
        """Run the real command line in a process of its own. ``points``: see `tests.fork_server`."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        environment = {**self.environment(), "LANG": "C.UTF-8"}
        return await run_command_async(
            *arguments,
            environment=environment,
            folder=folder or self.home,
            input_text=input_text,
            points=points,
        )

    async def start_command(
        self,
        *arguments: str,
        folder: Path | None = None,
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int = asyncio.subprocess.PIPE,
        stderr: int = asyncio.subprocess.PIPE,
    ) -> asyncio.subprocess.Process:
        """Start the real command line in a process of its own that a test may interrupt or kill."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gpurent.cli.main", *arguments),
            cwd=folder or self.home,
            env={**self.environment(), "LANG": "C.UTF-8"},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    async def run_at_terminal(
        self, *arguments: str, answers: Mapping[str, str], folder: Path | None = None
    ) -> CommandLineResult:
        """Run a command whose stdin is a terminal; type each answer when its prompt appears on stderr."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        master, slave = os.openpty()
        process = await self.start_command(*arguments, folder=folder, stdin=slave)
        os.close(slave)
        assert process.stdout is not None
        assert process.stderr is not None
        shown, waiting = b"", dict(answers)
        async with asyncio.timeout(60):
            while chunk := await process.stderr.read(4096):
                shown += chunk
                for prompt, answer in list(waiting.items()):
                    if prompt.encode() in shown:
                        if prompt.startswith(HIDDEN_PROMPTS):
                            await _wait_for_silence(master)
                        os.write(master, f"{answer}\n".encode())
                        del waiting[prompt]
            out = await process.stdout.read()
            code = await process.wait()
        os.close(master)
        assert not waiting, f"never asked: {waiting} in {shown.decode()}"
        return CommandLineResult(code, out.decode(), shown.decode())

    @contextlib.asynccontextmanager
    async def running_command(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a command as in a terminal until the end of the block, or until it is interrupted."""
        process = await self.start_command(*arguments)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def get_simulator_state(self, provider: str) -> Any:
        """Return the state of the provider's simulator; its type depends on the provider."""
        simulator: Any = self.cloud.simulators_by_name[provider]
        return simulator.state

    async def top_up_mistgpu(self, application: Application, yuan: str) -> None:
        """Top up as the user does, on the page of `topup`, which the sandbox then pays."""
        top_up = (await application.account_money.topup_instructions("mistgpu", Decimal(yuan))).top_up
        # Loading certificates takes longer than all of it.
        async with httpx2.AsyncClient(verify=False) as client:
            answer = await client.post(top_up.url.rstrip("/") + "/settle")
        assert answer.status_code < 400, answer.text

    async def add_dbc(self, application: Application, dbc: str) -> None:
        """Add DBC, as the purchase page would."""
        account = dict(application.account_commands.list_logins())["1024gpu"]
        async with httpx2.AsyncClient(base_url=self.cloud.urls["dbc"], verify=False) as client:
            answer = await client.post("/sandbox/faucet", json={"address": account, "amount": dbc})
        assert answer.status_code == 200, answer.text


@contextlib.asynccontextmanager
async def trip_sandbox(
    root: Path,
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    fixed_speed: bool = False,
    **options: object,
) -> AsyncIterator[TripSandbox]:
    """Open a fresh sandbox that is deleted with everything in it at the end. Tests know the user's password in it.

    Under load it is slower, but with ``fixed_speed``: for tests that compare this computer's time with the sandbox's.
    """
    sandbox_settings = {
        "speed": 60,
        "machines": 3,
        "driver": "embedded",
        "settings": {"mistgpu.password": "student-pass", **settings},
        "link_farms": shared_link_farms(),
        **options,
    }
    sandbox_options = SandboxOptions(**sandbox_settings)  # type: ignore[arg-type]
    if not fixed_speed:
        sandbox_options = evolve(sandbox_options, speed=adapt_speed(sandbox_options.speed))
    cloud = SimulatedCloud(root / "cloud", installed_plugins(), sandbox_options)
    try:
        await cloud.start()
        yield TripSandbox(cloud, root / "user")
    finally:
        await cloud.close()


@contextlib.asynccontextmanager
async def proxied_simulators(sandbox: TripSandbox, *names: str) -> AsyncIterator[dict[str, FaultProxy]]:
    """Put a fault proxy before each simulator."""
    async with contextlib.AsyncExitStack() as stack:
        found = {}
        for name in names:
            parts = urlsplit(sandbox.cloud.urls[name])
            proxy = FaultProxy(str(parts.hostname), int(parts.port or 0))
            found[name] = await stack.enter_async_context(proxy)
            variable = "GPURENT_" + name.upper() + "_URL"
            sandbox.extra_environment[variable] = f"http://{proxy.host}:{proxy.port}"
            sandbox.cloud.announce_service(name, sandbox.extra_environment[variable])
        yield found


def make_url(url: str, path: str) -> str:
    """Return the URL of ``path`` on the server of ``url``."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


async def _wait_for_silence(terminal: int) -> None:
    """Wait until the terminal does not echo: what is typed before is thrown away."""
    while termios.tcgetattr(terminal)[3] & termios.ECHO:  # noqa: ASYNC110 - a terminal has no event
        await asyncio.sleep(0.01)


MINUTE = timedelta(minutes=1)
