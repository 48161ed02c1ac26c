"""A sandbox in which waiting takes no time: simulators, fake machines and applications on one manual clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from inspect import isawaitable
from pathlib import Path
from typing import Any, Self

from attrs import define, field

from gpurent.composition.application import Application
from gpurent.composition.state import ExternalDependencies
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.simulator import SimulatorLedgerEntry
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.connector import FakeConnector
from gpurent.testing.fakes.machines import FakeMachines
from gpurent.testing.fakes.mail import ADDRESS
from gpurent.testing.fakes.virtual_time import real_time, virtual_clock
from gpurent.testing.fakes.virtual_time_http import VirtualTimeHttp
from gpurent.testing.sandbox.simulators import RunningSimulators
from gpurent.testing.sandbox_harness import SandboxHarness, sandbox_harness
from gpurent.workflow.runtime.settings import environment_variable_name
from gpurent.workflow.runtime.waiting import cancel_and_wait
from tests.guard.machine_plugins import make_plugin_module
from tests.guard.paced_job import PacedJob
from tests.workflow.trip_sandbox import ScriptedUser

MINUTE = timedelta(minutes=1)
MAX_WAIT = timedelta(days=30)
# An idle connection must not be closed when hours pass within a millisecond.
KEEP_ALIVE_SECONDS = 10**9


async def wait_until_true(condition: Callable[[], object]) -> None:
    """Let the clock run until ``condition``, or what it promises, is true."""

    async def is_true() -> bool:
        found = condition()
        return bool(await found if isawaitable(found) else found)

    async with asyncio.timeout(MAX_WAIT.total_seconds()):
        while not await is_true():  # noqa: ASYNC110 - what it waits for is told by no event
            await asyncio.sleep(15)


async def get_first_outcome(application: Application, trip_id: str = "") -> str:
    """Return how the trip ended, or the oldest one; empty if it is in progress."""
    if trip_id:
        return (await application.trip_tracker.get_trip(trip_id)).outcome_text
    return (await application.trip_tracker.list_trips())[0].outcome_text


async def is_lease_over(application: Application, lease_id: str) -> bool:
    return (await application.leases.get_lease(lease_id)).is_over


async def has_moved_end(application: Application, lease: Lease) -> bool:
    """Return whether the lease ends at another time than ``lease`` says."""
    return (await application.leases.get_lease(lease.id)).expires_at != lease.expires_at


@define(eq=False)
class VirtualSandbox:
    """Simulators and one user with a mailbox, created by `open_sandbox`. ``home`` is the user's."""

    root: Path
    home: Path
    harness: SandboxHarness
    jobs: list[PacedJob] = field(factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def open_sandbox(cls, root: Path, *names: str, **settings: str) -> AsyncIterator[Self]:
        """Open a sandbox with the named simulators; ``settings`` are those of the first."""
        async with contextlib.AsyncExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_find_memory_disk())))
            sandbox_settings = {f"{names[0]}.{key}": value for key, value in settings.items()}
            sandbox_settings["mistgpu.password"] = "student-pass"
            raised = sandbox_harness(
                *names,
                machines=3,
                settings=sandbox_settings,
                clock=virtual_clock(),
                keep_alive=KEEP_ALIVE_SECONDS,
            )
            made = cls(root, home, await stack.enter_async_context(raised))
            made.harness.post_office.open_mailbox(ADDRESS)
            stack.push_async_callback(made._close_jobs)
            stack.push_async_callback(cancel_and_wait, asyncio.create_task(made._tick_forever()))
            yield made

    async def _close_jobs(self) -> None:
        for job in self.jobs:
            await job.aclose()

    # time

    @property
    def clock(self) -> ManualClock:
        return self.harness.clock

    async def _tick_forever(self) -> None:
        while True:
            await self.clock.sleep(MINUTE)
            with real_time():
                await self.simulators.tick()

    async def advance(self, span: timedelta) -> None:
        """Jump ahead, like the clock of a computer that was asleep."""
        with real_time():
            await self.harness.advance(span)

    # the providers

    @property
    def simulators(self) -> RunningSimulators:
        return self.harness.simulators

    @property
    def machines(self) -> FakeMachines:
        return self.harness.machines

    def get_ledger(self, name: str) -> Sequence[SimulatorLedgerEntry]:
        """Return the provider's ledger."""
        return self.simulators.ledgers()[name]

    def list_burning(self) -> Sequence[str]:
        return self.simulators.burning()

    async def post_form(self, name: str, path: str, **fields: Any) -> None:
        """Do what a button on the provider's page does."""
        with real_time():
            answer = await self.harness.request(name, "POST", path, json=fields)
        assert answer.status < 400, answer.text

    async def pay_page(self, url: str) -> None:
        """Pay the Alipay page at ``url``."""
        path = url.removeprefix(self.simulators.urls["mistgpu"]).rstrip("/")
        await self.post_form("mistgpu", f"{path}/settle")

    # the user

    def write_config(self, text: str) -> None:
        """Write the user's ``config.toml``."""
        state = self.home / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        (state / "config.toml").write_text(text)

    def environment(self) -> Mapping[str, str]:
        found = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GPURENT_HOME": str(self.home / "state"),
            "GPURENT_MAIL_ADDRESS": ADDRESS,
        }
        for section, values in self.simulators.client_settings().items():
            found |= {environment_variable_name(section, key): value for key, value in values.items()}
        return found

    @contextlib.asynccontextmanager
    async def open_application(self, user: ScriptedUser | None = None) -> AsyncIterator[Application]:
        """Open one process of the user."""
        mailbox = self.harness.post_office.open_mailbox(ADDRESS)
        registry = EntryPointRegistry.load(builtin=[builtin_entries, make_plugin_module(mailbox)])
        assert not registry.problems, registry.problems
        connector = FakeConnector(self.machines, self.root / "ssh")
        outside = ExternalDependencies(
            clock=self.clock,
            connector=connector,
            wrap_http=VirtualTimeHttp,
            is_sandbox_service=self._is_own_service,
        )
        made = Application(registry, self.home / "state", self.environment(), user or ScriptedUser(), outside)
        try:
            await made.start()
            yield made
        finally:
            await made.aclose()

    async def _is_own_service(self, environment: Mapping[str, str], url: str) -> bool:
        return any(url.startswith(own) for own in self.simulators.urls.values())

    def make_job(self, user: ScriptedUser, lines: int | None = None) -> PacedJob:
        """Return a job that starts when ``user`` receives its JOB_STARTED event."""
        made = PacedJob(self.root / f"job{len(self.jobs)}", self.machines, lines)
        self.jobs.append(made)
        user.watchers.append(made.on_event)
        return made

    async def log_in_to_mistgpu(self, application: Application, yuan: str) -> None:
        """Log in to an account and top it up with that much money by the payment page."""
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        top_up = (await application.account_money.topup_instructions("mistgpu", Decimal(yuan))).top_up
        await self.pay_page(top_up.url)

    async def add_dbc(self, application: Application, dbc: str) -> None:
        """Add DBC, as the purchase page would."""
        account = dict(application.account_commands.list_logins())["1024gpu"]
        await self.post_form("dbc", "/sandbox/faucet", address=account, amount=dbc)


@define
class AlipayPayer:
    """A user who pays each Alipay page that an event announces."""

    sandbox: VirtualSandbox
    paid_amounts: list[str] = field(factory=list)
    tasks: list[asyncio.Task[None]] = field(factory=list)

    def on_event(self, event: Event) -> None:
        if event.kind is EventKind.TOP_UP:
            self.paid_amounts.append(str(event.data["amount"]))
            self.tasks.append(asyncio.create_task(self.sandbox.pay_page(str(event.data["url"]))))


def _find_memory_disk() -> Path | None:
    """Return a folder in memory, where database writes do not wait for a disk; None: use the default."""
    found = Path("/dev/shm")
    return found if os.access(found, os.W_OK) else None
