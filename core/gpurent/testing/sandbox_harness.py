"""Installed plugins against their own simulators, in the test's event loop: real HTTP, no real time::

    async with sandbox_harness("acme") as sandbox:
        user = sandbox.user()
        provider = user.provider("acme")
        offers = await provider.list_offers(Requirements())

A sandbox takes some milliseconds: every test makes its own, with as many new users as it wants. Tests that need real
machines, a real mailbox or the command line use `gpurent.testing.shared_sandbox`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any, TypeVar, overload

from attrs import define, field

from gpurent.errors import UsageError
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.ports.services import HttpResponse
from gpurent.roles.account import Authenticator, BillingProvider, Login
from gpurent.roles.entries import AuthEntry, BillingEntry, LeaseEntry, PluginEntry, SimulatorEntry
from gpurent.roles.lease import LeaseProvider
from gpurent.testing.fakes import (
    FakeMachines,
    FakePluginContext,
    FakePostOffice,
    FakeUser,
    HttpFaults,
    ManualClock,
)
from gpurent.testing.sandbox.simulators import RunningSimulators

R = TypeVar("R")
S = TypeVar("S")


@cache
def installed_plugins() -> EntryPointRegistry:
    """Return every installed plugin; loaded once, since a registry never changes."""
    return EntryPointRegistry.load()


@define(kw_only=True)
class SandboxUser(FakeUser):
    """A user of the sandbox. Each role object built here acts as a new process; what earlier ones saved is still there.

    ``auth`` is only needed where nothing else says which login a provider or account uses.
    """

    registry: EntryPointRegistry

    def context(
        self, entry: PluginEntry[Any], auth: str = "", faults: HttpFaults | None = None
    ) -> FakePluginContext:
        login: AuthEntry | None = self.registry.get_entries(AuthEntry).get(auth)
        return FakePluginContext(entry, user=self, auth=login, faults=faults)

    @overload
    def provider(self, name: str, *, faults: HttpFaults | None = None) -> LeaseProvider: ...
    @overload
    def provider(self, name: str, kind: type[R], *, faults: HttpFaults | None = None) -> R: ...
    def provider(
        self, name: str, kind: type[Any] = LeaseProvider, *, faults: HttpFaults | None = None
    ) -> Any:
        """Return a new object of the provider of that name, which must be a ``kind``."""
        entry = self.registry.get_entry(LeaseEntry, name)
        return _check_role(kind, entry.build(self.context(entry, entry.auth, faults)))

    @overload
    def billing(self, provider: str, *, faults: HttpFaults | None = None) -> BillingProvider: ...
    @overload
    def billing(self, provider: str, kind: type[R], *, faults: HttpFaults | None = None) -> R: ...
    def billing(
        self, provider: str, kind: type[Any] = BillingProvider, *, faults: HttpFaults | None = None
    ) -> Any:
        """Return a new object that pays that provider's bills, which must be a ``kind``."""
        entry = self.registry.get_entry(LeaseEntry, provider)
        billing = self.registry.get_entry(BillingEntry, entry.billing)
        return _check_role(kind, billing.build(self.context(billing, entry.auth, faults)))

    def authenticator(self, provider: str) -> Authenticator:
        """Return a new object that logs in to that provider."""
        entry = self._auth_entry(provider)
        return entry.build(self.context(entry, entry.name))

    async def login(self, provider: str, *, force_new: bool = False) -> Login:
        """Log in with the user's ``credentials``; a key is made on first use if the plugin can do that."""
        entry = self._auth_entry(provider)
        return await self.context(entry, entry.name).get_login(force_new=force_new)

    def _auth_entry(self, provider: str) -> AuthEntry:
        return self.registry.get_entry(AuthEntry, self.registry.get_entry(LeaseEntry, provider).auth)


@define(kw_only=True)
class SandboxHarness:
    """The simulators and what surrounds them: clock, machines, mail and users."""

    registry: EntryPointRegistry
    clock: ManualClock
    machines: FakeMachines
    post_office: FakePostOffice
    simulators: RunningSimulators
    _anonymous_user: FakeUser
    _users: list[SandboxUser] = field(factory=list)
    _user_numbers: count[int] = field(factory=lambda: count(1))

    def user(self, config: Mapping[str, Mapping[str, str]] | None = None) -> SandboxUser:
        """Return a new user with their own mailbox.

        ``config``: settings by section, over those that point to the simulators.
        """
        address = f"user{next(self._user_numbers)}@sandbox.example"
        settings = self.simulators.client_settings()
        for section, values in (config or {}).items():
            settings.setdefault(section, {}).update(values)
        made = SandboxUser(
            registry=self.registry,
            clock=self.clock,
            mail=self.post_office.open_mailbox(address),
            config=settings,
        )
        self._users.append(made)
        return made

    def simulator(self, name: str, kind: type[S]) -> S:
        """Return the simulator of that name, so that a test can inspect its internals."""
        return self.simulators.get_simulator(name, kind)

    async def request(self, simulator: str, method: str, path: str, **fields: Any) -> HttpResponse:
        """Send one request without a login; see `gpurent.ports.services.Http`."""
        client = self._anonymous_user.client(simulator, self.simulators.urls[simulator])
        return await client.request(method, path, **fields)

    async def post(self, simulator: str, path: str, **fields: Any) -> Any:
        """POST ``fields`` as JSON and return the JSON response. Raises ``UsageError`` if the status is not 200."""
        answer = await self.request(simulator, "POST", path, json=fields)
        if answer.status != 200:
            raise UsageError(f"{simulator} refuses {path}: {answer.status} {answer.text[:200]}")
        return answer.json()

    async def advance(self, span: timedelta) -> None:
        """Advance the clock and let every simulator catch up."""
        self.clock.advance(span)
        await self.simulators.tick()

    async def aclose(self) -> None:
        for user in (self._anonymous_user, *self._users):
            await user.aclose()
        await self.simulators.close()
        await self.machines.aclose()


@define
class SimulatorHarness:
    """The base of a plugin's own harness: what a test needs of the sandbox around its simulator."""

    sandbox: SandboxHarness

    @property
    def clock(self) -> ManualClock:
        return self.sandbox.clock

    @property
    def machines(self) -> FakeMachines:
        return self.sandbox.machines


@asynccontextmanager
async def sandbox_harness(
    *names: str,
    machines: int = 4,
    settings: Mapping[str, str] | None = None,
    clock: ManualClock | None = None,
    keep_alive: int = 5,
) -> AsyncIterator[SandboxHarness]:
    """Run the named simulators while the block runs. ``settings`` are theirs, as ``simulator.key``.

    ``keep_alive``: seconds that an idle connection to one of them stays open.
    """
    registry = installed_plugins()
    clock = clock or ManualClock(eager=True)
    fakes = FakeMachines(clock=clock)
    post_office = FakePostOffice(clock)
    running = RunningSimulators(
        entries={name: registry.get_entry(SimulatorEntry, name) for name in names},
        clock=clock,
        machines=fakes,
        send_mail=post_office.send,
        machine_count=machines,
        settings=settings or {},
        keep_alive=keep_alive,
    )
    harness = SandboxHarness(
        registry=registry,
        clock=clock,
        machines=fakes,
        post_office=post_office,
        simulators=running,
        anonymous_user=FakeUser(clock=clock),
    )
    try:
        await running.start()
        yield harness
    finally:
        await harness.aclose()


def _check_role(kind: type[R], made: object) -> R:
    if not isinstance(made, kind):
        raise UsageError(f"the plugin built a {type(made).__name__}, not a {kind.__name__}")
    return made
