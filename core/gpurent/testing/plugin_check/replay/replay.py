"""Replays a recording through the plugins that it was made with, and says what became of each route."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from gpurent.errors import UsageError
from gpurent.infra.http_headers import parse_date
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.locale import _, join_list
from gpurent.roles.entries import AuthEntry, BillingEntry, LeaseEntry, RateEntry
from gpurent.terminal_text import ForeignText
from gpurent.testing.fakes import ManualClock
from gpurent.testing.plugin_check.replay.answer_book import AnswerBook, AnswerState, BookedAnswer
from gpurent.testing.plugin_check.replay.recording_reader import RecordedExchange, read_recording
from gpurent.testing.plugin_check.replay.replay_calls import ReplayCalls
from gpurent.testing.plugin_check.replay.replay_leases import ReplayLeases
from gpurent.testing.plugin_check.replay.replay_server import ReplayService
from gpurent.testing.plugin_check.replay.replay_user import ReplayUser
from gpurent.testing.sandbox.web_server import WebServer


@frozen(kw_only=True)
class RouteReplay:
    """What became of the answers of one route: how many were parsed, not understood, left out, or not asked for."""

    entry: str = field(converter=ForeignText)
    method: str
    route: str = field(converter=ForeignText)
    state: AnswerState
    recorded: int
    parsed: int
    changed: int
    left_out: int
    errors: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        return {
            "entry": self.entry,
            "method": self.method,
            "route": self.route,
            "state": self.state.value,
            "recorded": self.recorded,
            "parsed": self.parsed,
            "changed": self.changed,
            "left_out": self.left_out,
            "errors": list(self.errors),
        }


@frozen(kw_only=True)
class ReplayReport:
    """``services``: whom the recording was made with; of a sandbox it is no evidence."""

    routes: Sequence[RouteReplay]
    services: Sequence[str]
    first_at: str
    versions: Sequence[str]

    @property
    def ok(self) -> bool:
        return all(route.state is not AnswerState.CHANGED for route in self.routes)

    def to_data(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "date": self.first_at,
            "services": list(self.services),
            "versions": list(self.versions),
            "routes": [route.to_data() for route in self.routes],
        }


def replay_file(path: Path, registry: EntryPointRegistry, entries: Sequence[tuple[str, str]]) -> ReplayReport:
    """Replay a file for the plugin with these ``(kind, name)``; raises `UsageError` if it holds nothing of them."""
    exchanges = read_recording(path)
    return asyncio.run(replay_exchanges(exchanges, registry, entries))


async def replay_exchanges(
    exchanges: Sequence[RecordedExchange], registry: EntryPointRegistry, entries: Sequence[tuple[str, str]]
) -> ReplayReport:
    """As `replay_file`, for what was read already. ``registry`` has every installed plugin."""
    own = [exchange for exchange in exchanges if (exchange.kind, exchange.name) in entries]
    if not own:
        names = join_list(sorted({f"{exchange.kind} {exchange.name}" for exchange in exchanges}))
        raise UsageError(_("the recording has nothing of this plugin, but of {names}").format(names=names))
    book = await replay_book(exchanges, registry, entries)
    judged = [answer for answer in book.answers if (answer.exchange.kind, answer.exchange.name) in entries]
    return ReplayReport(
        routes=_sum_routes(judged),
        services=sorted({exchange.service for exchange in own}),
        first_at=min(exchange.at for exchange in own).date().isoformat(),
        versions=sorted({f"{exchange.distribution} {exchange.version}" for exchange in own}),
    )


async def replay_book(
    exchanges: Sequence[RecordedExchange], registry: EntryPointRegistry, entries: Sequence[tuple[str, str]]
) -> AnswerBook:
    """Let these entries read the recorded answers; return what became of each."""
    book = AnswerBook([BookedAnswer(exchange) for exchange in exchanges])
    async with _open_replay(book, registry) as replay:
        await replay.run(entries)
    return book


@define
class _Replay:
    calls: ReplayCalls
    registry: EntryPointRegistry

    async def run(self, entries: Sequence[tuple[str, str]]) -> None:
        named: defaultdict[str, list[str]] = defaultdict(list)
        for kind, name in entries:
            named[kind].append(name)
        providers = self.registry.get_entries(LeaseEntry)
        mine = [providers[name] for name in named["lease"] if name in providers]
        accounts = {name: _find_auth(name, providers.values()) for name in named["billing"]}
        accounts |= {entry.billing: entry.auth for entry in mine if entry.billing}
        await self._log_in([*named["auth"], *accounts.values(), *(entry.auth for entry in mine)])
        await self._read(accounts, named["rate"])
        for entry in mine:
            offers, leases = await self.calls.read_provider(entry)
            if self.calls.book.count_unserved():
                await ReplayLeases(self.calls, entry).use(offers, leases)
        billing = self.registry.get_entries(BillingEntry)
        for name, auth in accounts.items():
            if name in billing and self.calls.book.count_unserved():
                await self.calls.use_account(billing[name], auth)

    async def _log_in(self, names: Sequence[str]) -> None:
        logins = self.registry.get_entries(AuthEntry)
        for name in dict.fromkeys(names):
            if name in logins:
                await self.calls.log_in(logins[name])

    async def _read(self, accounts: Mapping[str, str], rates: Sequence[str]) -> None:
        billing = self.registry.get_entries(BillingEntry)
        for name, auth in accounts.items():
            if name in billing:
                await self.calls.read_account(billing[name], auth)
        for name in rates:
            await self.calls.read_rates(self.registry.get_entry(RateEntry, name))


def _find_auth(billing: str, providers: Any) -> str:
    return next((entry.auth for entry in providers if entry.billing == billing), "")


@asynccontextmanager
async def _open_replay(book: AnswerBook, registry: EntryPointRegistry) -> AsyncIterator[_Replay]:
    """Serve the recording on this computer, and make the user who asks it."""
    first = min(_find_time(answer.exchange) for answer in book.answers)
    text = "\n".join(
        f"{answer.exchange.path} {answer.exchange.query} {answer.exchange.request_body}"
        for answer in book.answers
    )
    kinds = (AuthEntry, BillingEntry, LeaseEntry, RateEntry)
    names = sorted({name for kind in kinds for name in registry.get_entries(kind)})
    users: list[ReplayUser] = []

    def make_user() -> ReplayUser:
        user = ReplayUser(
            registry=registry, clock=ManualClock(first, eager=True), urls=urls, closed_url=closed, names=names
        )
        users.append(user)
        return user

    def follow_time(exchange: RecordedExchange) -> None:
        """Let the time of each answer be that of its service."""
        users[-1].clock.advance_to(_find_time(exchange))

    async with AsyncExitStack() as stack:
        urls = {}
        for service in sorted({*((a.exchange.name, a.exchange.setting) for a in book.answers), _NOBODY}):
            server = WebServer(ReplayService(book, service, follow_time))
            await server.start()
            stack.push_async_callback(server.close)
            urls[service] = server.url
        closed = urls.pop(_NOBODY)
        try:
            yield _Replay(ReplayCalls(make_user, book, text), registry)
        finally:
            for user in users:
                await user.aclose()


_NOBODY = ("", "")


def _find_time(exchange: RecordedExchange) -> datetime:
    """Return the service's own time of the answer, else that of the computer that recorded it."""
    return parse_date(dict(exchange.headers)) or exchange.at


def _sum_routes(answers: Sequence[BookedAnswer]) -> list[RouteReplay]:
    by_route: dict[tuple[str, str, str], list[BookedAnswer]] = {}
    for answer in answers:
        exchange = answer.exchange
        by_route.setdefault((exchange.name, exchange.method, exchange.route), []).append(answer)
    return [_sum_route(key, found) for key, found in by_route.items()]


def _sum_route(key: tuple[str, str, str], answers: Sequence[BookedAnswer]) -> RouteReplay:
    states = [answer.state for answer in answers]
    found = next(
        (state for state in (AnswerState.CHANGED, AnswerState.PARSED) if state in states),
        AnswerState.NOT_CALLED,
    )
    return RouteReplay(
        entry=key[0],
        method=key[1],
        route=key[2],
        state=found,
        recorded=len(answers),
        parsed=states.count(AnswerState.PARSED),
        changed=states.count(AnswerState.CHANGED),
        left_out=sum(not answer.exchange.can_be_served for answer in answers),
        errors=tuple(dict.fromkeys(f"{answer.error}" for answer in answers if answer.error)),
    )
