"""A user in memory: what outlives that user's processes."""

from __future__ import annotations

import asyncio
import logging
from typing import Self

from attrs import define, field

from gpurent.domain.question import Challenge
from gpurent.domain.secret import Secret
from gpurent.infra.http import HttpClient
from gpurent.infra.redact import Redactor
from gpurent.roles.account import Login
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.mail import FakeMailbox
from gpurent.testing.fakes.storage import MemoryState, MemoryVault


@define(kw_only=True)
class FakeUser:
    """What all processes and plugins of one user share; every `FakePluginContext` has one.

    ``config`` is a config.toml: settings by section, which is a plugin's name. ``credentials`` are the fields given at
    login, by the auth plugin's name. ``answers`` are the user's answers, in order, to questions that no mail answers;
    once they are used up, the user is away. ``challenges`` are the questions so far. ``log_lines`` are the plugins' log
    records as a log file gets them, secrets masked; ``raw_log_lines`` are the same as the plugins wrote them.
    ``redirects`` map the base URL of a real service to a simulator, for what is only done when the settings name the
    real service.

    Holds the HTTP clients: close it at the end, by `aclose` or ``async with``.
    """

    clock: ManualClock = field(factory=lambda: ManualClock(eager=True))
    mail: FakeMailbox = field()
    config: dict[str, dict[str, str]] = field(factory=dict)
    credentials: dict[str, dict[str, Secret]] = field(factory=dict)
    answers: list[str] = field(factory=list)
    challenges: list[Challenge] = field(factory=list)
    log_lines: list[str] = field(factory=list)
    raw_log_lines: list[str] = field(factory=list)
    redirects: dict[str, str] = field(factory=dict)
    redactor: Redactor = field(factory=Redactor)
    logins: dict[str, Login] = field(factory=dict)
    _vaults: dict[str, MemoryVault] = field(factory=dict)
    _states: dict[str, MemoryState] = field(factory=dict)
    _locks: dict[str, asyncio.Lock] = field(factory=dict)
    _clients: dict[str, HttpClient] = field(factory=dict)

    @mail.default
    def _no_mailbox(self) -> FakeMailbox:
        return FakeMailbox(self.clock, is_available=False)

    def vault(self, plugin: str) -> MemoryVault:
        """Return the vault of one plugin."""
        return self._vaults.setdefault(plugin, MemoryVault())

    def state(self, plugin: str) -> MemoryState:
        """Return the state of one plugin."""
        return self._states.setdefault(plugin, MemoryState())

    def lock(self, name: str) -> asyncio.Lock:
        """Return the lock ``name``, which one task holds at a time."""
        return self._locks.setdefault(name, asyncio.Lock())

    def delete_state(self, plugin: str) -> None:
        """Delete the state of one plugin, as if it was lost."""
        self._states.pop(plugin, None)

    def client(self, plugin: str, base_url: str) -> HttpClient:
        """Return the product's own HTTP client for ``base_url``."""
        base_url = self.redirects.get(base_url, base_url)
        if base_url not in self._clients:
            self._clients[base_url] = HttpClient(base_url, redact=self.redactor, log=self.make_logger(plugin))
        return self._clients[base_url]

    def make_logger(self, plugin: str) -> logging.Logger:
        """Return a plugin's logger; its records are not visible to other tests."""
        made = logging.Logger(f"gpurent.plugin.{plugin}", logging.DEBUG)  # noqa: LOG001 - a global one would leak
        made.addHandler(
            _LineHandler(self.raw_log_lines)
        )  # before the one that masks, which changes the record
        handler = _LineHandler(self.log_lines)
        handler.addFilter(self.redactor)
        made.addHandler(handler)
        return made

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.aclose()


class _LineHandler(logging.Handler):
    """Log handler that keeps every record as one line."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
