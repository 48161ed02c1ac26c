"""A fake of what core gives to a plugin: real HTTP, a manual clock, everything else in memory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from logging import Logger
from pathlib import Path
from typing import Any, Self

from gpurent.domain.access import AccessChannel, AccessSource
from gpurent.domain.question import Challenge
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError
from gpurent.infra.redact import split_secret
from gpurent.ports.local_files import LocalFiles
from gpurent.ports.services import Http
from gpurent.roles.account import Authenticator, Login, SupportsEnrolment
from gpurent.roles.entries import AuthEntry, PluginEntry
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.http import FaultyHttp, HttpFaults
from gpurent.testing.fakes.mail import FakeMailbox
from gpurent.testing.fakes.questions import MemoryQuestions, ScriptedPrompter
from gpurent.testing.fakes.storage import MemoryState, MemoryVault
from gpurent.testing.fakes.user import FakeUser
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.workflow.runtime.questions import ChallengeAnswerer, Questions
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.runtime.waiting import Poller


class FakePluginContext:
    """The context of one plugin in one process of a `FakeUser`.

    Implements `gpurent.roles.plugin_context.PluginContext`::

        async with FakePluginContext(ENTRY, settings={"url": simulator_url}) as context:
            provider = ENTRY.build(context)

    - ``http`` is the product's own client on real sockets; ``faults`` can lose calls.
    - ``clock`` is the user's `ManualClock`, eager unless the user has another: sleeping takes no real time.
    - ``vault`` and ``state`` live as long as the user; a second context for the same user acts as a later process.
    - ``lock`` keeps out the tasks of the user's other contexts; there are no other processes.
    - ``mail`` is a list. ``answer_challenge`` searches it as the product does, then takes from the user's ``answers``.
    - ``settings`` are the entry's declared defaults, overridden by the user's ``config``, then by ``settings``.
    - Logging in builds ``auth`` (or the entry itself, if it is an `AuthEntry`) and uses the user's ``credentials``; an
      authenticator that enrols makes its own. Raises `AuthError` if there are none.
    """

    def __init__(
        self,
        entry: PluginEntry[Any],
        *,
        user: FakeUser | None = None,
        auth: AuthEntry | None = None,
        settings: Mapping[str, str] | None = None,
        faults: HttpFaults | None = None,
    ) -> None:
        self.entry = entry
        self.user = user or FakeUser()
        self.faults = faults or HttpFaults()
        self.auth = auth if auth is not None else entry if isinstance(entry, AuthEntry) else None
        values = {**self.user.config.get(entry.name, {}), **(settings or {})}
        settings_file = Settings(Path(), {}, {entry.name: values})
        self.settings: Mapping[str, str] = settings_file.get_plugin_settings(entry.name, entry.settings)
        for declared in entry.settings:
            if declared.secret:
                for piece in split_secret(self.settings.get(declared.name, "")):
                    self.user.redactor.register_secret(Secret(piece))

    @property
    def clock(self) -> ManualClock:
        return self.user.clock

    @property
    def mail(self) -> FakeMailbox:
        return self.user.mail

    @property
    def vault(self) -> MemoryVault:
        return self.user.vault(self.entry.name)

    @property
    def state(self) -> MemoryState:
        return self.user.state(self.entry.name)

    @property
    def files(self) -> LocalFiles:
        return LOCAL_FILES

    @cached_property
    def log(self) -> Logger:
        return self.user.make_logger(self.entry.name)

    @cached_property
    def http(self) -> Http:
        return self.http_for("url")

    def http_for(self, setting: str) -> Http:
        return FaultyHttp(self.user.client(self.entry.name, self.settings.get(setting, "")), self.faults)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self.user.lock(f"{self.entry.name}-{name}")

    async def get_login(self, *, force_new: bool = False) -> Login:
        auth = self.auth
        if auth is None:
            raise AuthError(f"{self.entry.name} has no login")
        found = self.user.logins.get(auth.name)
        if found is None or force_new:
            role: Authenticator = auth.build(self if auth is self.entry else self._make_auth_context(auth))
            found = await role.log_in(await self._get_credentials(auth, role))
            self.user.redactor.register_secret(found.token)
            self.user.logins[auth.name] = found
        return found

    def _make_auth_context(self, entry: PluginEntry[Any]) -> FakePluginContext:
        return FakePluginContext(entry, user=self.user, faults=self.faults)

    async def _get_credentials(self, auth: AuthEntry, role: Authenticator) -> Mapping[str, Secret]:
        credentials = self.user.credentials.get(auth.name)
        if credentials is None and isinstance(role, SupportsEnrolment):
            credentials = self.user.credentials[auth.name] = dict(await role.create_credentials())
        if credentials is None:
            raise AuthError(f"you are not logged in to {auth.name}", hint="Give the user credentials for it.")
        for declared in auth.fields:
            if declared.secret and declared.name in credentials:
                self.user.redactor.register_secret(credentials[declared.name])
        return credentials

    async def answer_challenge(self, challenge: Challenge) -> str:
        self.user.challenges.append(challenge)
        questions = Questions(MemoryQuestions(), ScriptedPrompter(self.user.answers), self.clock)
        return await ChallengeAnswerer(
            self.mail, Poller(self.clock), questions, self.log.warning
        ).answer_challenge(challenge)

    async def identify_service(self, url: str) -> AccessSource:
        """Return an authenticated source of a sandbox, for whatever URL."""
        return AccessSource(channel=AccessChannel.SERVICE, is_authenticated=True, is_sandbox=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.user.aclose()
