"""What a provider's services answer, recorded from its simulator while a user rents a machine and releases it.

Each stage of it can be played again later, as often as wanted, from the state in which the user was then.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from gpurent.api import (
    Bill,
    HttpResponse,
    Known,
    Lease,
    LeaseProvider,
    MailBinding,
    Order,
    OrderKind,
    Payment,
    PostpaidBilling,
    Requirements,
    Secret,
    SupportsInvoices,
    SupportsMailBinding,
    SupportsStatement,
)
from gpurent.infra.http import ReadHttpResponse
from gpurent.ports.services import Http
from gpurent.roles.entries import AuthEntry, LeaseEntry, SimulatorEntry
from gpurent.testing.fakes import FakeMailbox, ManualClock, MemoryState, MemoryVault
from gpurent.testing.lease_driver import LeaseDriver
from gpurent.testing.sandbox_harness import SandboxUser, installed_plugins, sandbox_harness
from tests.reliability.providers import TestableProvider, list_testable_providers
from tests.security.fuzzing.rules import require

MAX_CALLS = 300
_LONG_TEXT = re.compile("[0-9a-f]{128,}")
# Roles are abstract, which mypy does not take for a class that can be asked for.
_PROVIDER: Any = LeaseProvider
_BINDING: Any = SupportsMailBinding
_STATEMENT: Any = SupportsStatement
_INVOICES: Any = SupportsInvoices
PASSWORD = Secret("Canary-password-1")
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEcILjmS48UTuYPc1YNPl7qwhgA2K87Qd9uTgjGUNsf0"
POLL_INTERVAL = timedelta(seconds=30)


@frozen
class Call:
    """One request as far as it says what is asked for: without the number and the signature that each one has."""

    section: str
    method: str
    path: str
    remote: str
    """The method of a remote procedure call; empty for others."""


Change = Callable[[HttpResponse], HttpResponse]


@define
class Tape:
    """What each stage called, and the answers in their order."""

    answers: dict[str, list[tuple[Call, str, HttpResponse]]] = Factory(dict)
    stage: str = "login"
    """The stage that is recorded now."""

    def begin(self, stage: str) -> None:
        self.stage = stage
        self.answers[stage] = []

    def add(self, call: Call, asked: str, answer: HttpResponse) -> None:
        self.answers.setdefault(self.stage, []).append((call, asked, answer))

    def list_calls(self, stage: str) -> set[Call]:
        return {call for call, _asked, _answer in self.answers.get(stage, ())}

    def find_answer(self, stage: str, call: Call, asked: str, number: int) -> HttpResponse | None:
        """Return the answer to the ``number``-th call (from 0) of a stage that asked this, or to one like it."""
        recorded = self.answers[stage]
        same = [answer for one, other, answer in recorded if (one, other) == (call, asked)]
        found = same or [answer for one, _other, answer in recorded if one == call]
        return found[min(number, len(found) - 1)] if found else None


@define
class Replay:
    """Answers from a tape, changed where ``target`` is called; ``forbidden``: what must not be sent."""

    tape: Tape
    stage: str
    forbidden: frozenset[Call]
    target: Call
    change: Change
    sent: list[tuple[Call, str]] = Factory(list)
    resent: dict[str, str] = Factory(dict)
    """What was sent then, and what is sent now instead: each signature is another one, and is looked for in answers."""

    def answer(self, call: Call, asked: str, body: Any) -> HttpResponse:
        require(len(self.sent) <= MAX_CALLS, f"asks without end: {call}")
        require(call not in self.forbidden, f"sent {call}")
        found = self.tape.find_answer(self.stage, call, asked, self.sent.count((call, asked)))
        self._match_sent(call, asked)
        if found is None:
            return ReadHttpResponse(404, f"https://service.example{call.path}", "not found", {}, {})
        answer = ReadHttpResponse(found.status, found.url, found.text, found.headers, found.cookies)
        if call.remote:
            document = {**json.loads(found.text), "id": body["id"]}
            answer = evolve(answer, text=json.dumps(document))
        for then, now in self.resent.items():
            answer = evolve(answer, text=answer.text.replace(then, now))
        return self.change(answer) if call == self.target else answer

    def _match_sent(self, call: Call, asked: str) -> None:
        """Remember what was sent, and instead of which long text of the recording, if only that is another one."""
        number = sum(one == call for one, _asked in self.sent)
        then = [other for one, other, _answer in self.tape.answers[self.stage] if one == call]
        self.sent.append((call, asked))
        if call.remote and asked not in then and number < len(then):
            old, new = _LONG_TEXT.findall(then[number]), _LONG_TEXT.findall(asked)
            self.resent.update(zip(old, new, strict=False))


@define
class TapedHttp:
    """Implements `Http`: passes calls on and records the answers, or answers from the tape."""

    user: TapedUser
    section: str
    http: Http

    async def request(self, method: str, path: str, **given: Any) -> HttpResponse:
        body: Any = given.get("json")
        remote = str(body["method"]) if isinstance(body, dict) and "jsonrpc" in body else ""
        call = Call(self.section, method, path.partition("?")[0], remote)
        asked = repr(body["params"] if remote else (given.get("params"), given.get("form")))
        if self.user.replay is not None:
            return self.user.replay.answer(call, asked, body)
        answer = await self.http.request(method, path, **given)
        self.user.tape.add(call, asked, answer)
        return answer


@define(kw_only=True)
class TapedUser(SandboxUser):
    tape: Tape = Factory(Tape)
    replay: Replay | None = None

    def client(self, plugin: str, base_url: str) -> Any:
        return TapedHttp(self, plugin, super().client(plugin, base_url))

    def find_auth(self, provider: str) -> str:
        return self.registry.get_entry(AuthEntry, self.registry.get_entry(LeaseEntry, provider).auth).name


Action = Callable[[TapedUser], Awaitable[object]]


@frozen(kw_only=True)
class Stage:
    """Something that core lets a plugin do, and all that the user had then. ``is_reading``: it changes nothing."""

    name: str
    action: Action
    is_reading: bool
    at: datetime
    vaults: Mapping[str, Mapping[str, Secret]]
    states: Mapping[str, Mapping[str, str]]
    mails: tuple[Any, ...]
    most: Bill | None = None
    """What it may pay."""


@define
class Recording:
    """A provider and the stages of one machine's life."""

    name: str
    user: TapedUser
    stages: dict[str, Stage] = field(factory=dict)

    async def record(
        self, name: str, action: Action, *, is_reading: bool = False, most: Bill | None = None
    ) -> Any:
        """Let it happen, and keep what the user had before and what was called."""
        user = self.user
        stage = Stage(
            name=name,
            action=action,
            is_reading=is_reading,
            at=user.clock.now(),
            vaults={name: dict(vault.records) for name, vault in user._vaults.items()},
            states={name: dict(state.records) for name, state in user._states.items()},
            mails=tuple(user.mail.mails),
            most=most,
        )
        user.tape.begin(name)
        found = await action(user)
        user.tape.stage = "between"
        if user.tape.answers[name]:
            # With the mails that came meanwhile: a code that it had asked for.
            self.stages[name] = evolve(stage, mails=tuple(user.mail.mails))
        return found

    def list_calls(self, stage: Stage) -> list[Call]:
        return sorted(self.user.tape.list_calls(stage.name), key=str)

    def list_forbidden(self, stage: Stage) -> frozenset[Call]:
        """Return the calls of stages that change something, which neither this stage nor any reading makes.

        What is bought and cannot be used may be given up: a changing stage may send what a release does.
        """
        tape = self.user.tape
        harmless = ["login", *(name for name, other in self.stages.items() if other.is_reading)]
        undoing = () if stage.is_reading else ("release",)
        allowed = set().union(*map(tape.list_calls, (*harmless, *undoing, stage.name)))
        return frozenset(set().union(*map(tape.list_calls, tape.answers)) - allowed)

    def play(self, stage: Stage, target: Call, change: Change) -> tuple[Awaitable[object], Replay]:
        """Return the stage once more, not yet begun, with changed answers to ``target``."""
        clock = ManualClock(stage.at, eager=True)
        user = TapedUser(
            registry=self.user.registry,
            clock=clock,
            mail=FakeMailbox(clock, self.user.mail.address, list(stage.mails)),
            config=self.user.config,
            credentials=self.user.credentials,
            logins=dict(self.user.logins),
            vaults={name: MemoryVault(dict(records)) for name, records in stage.vaults.items()},
            states={name: MemoryState(dict(records)) for name, records in stage.states.items()},
            replay=Replay(self.user.tape, stage.name, self.list_forbidden(stage), target, change),
        )
        assert user.replay is not None
        return stage.action(user), user.replay


async def _record_life(recording: Recording) -> None:
    """Rent a machine as core does, look at everything, and release it."""
    name, user = recording.name, recording.user
    driver = LeaseDriver(user, name, _PROVIDER, POLL_INTERVAL)
    offers = await recording.record(
        "offers", lambda user: user.provider(name).list_offers(Requirements()), is_reading=True
    )
    assert isinstance(offers, Known)
    offer = next(offer for offer in offers.items if offer.available)
    await _bind_address(recording, driver)
    user.vault(name).put("pw", PASSWORD)
    order = Order(
        key="fuzz",
        kind=OrderKind.NEW,
        offer=offer,
        term=timedelta(days=1),
        gpus=1,
        password_ref="pw",
        public_key=PUBLIC_KEY,
    )
    reserved = await recording.record("reserve", lambda user: user.provider(name).reserve_lease(order))
    driver.lease = evolve(reserved, id="lease", label=order.key, password_ref="pw")
    bill = await driver.wait_for_bill()
    payment = await recording.record("pay", lambda user: user.billing(name).pay_bill(bill), most=bill)
    payable = driver.current_lease
    await recording.record("confirm", lambda user: user.provider(name).confirm_lease(payable, payment))
    await driver.confirm_payment(payment)
    starting = driver.current_lease
    ready = await driver.wait_until_ready()
    await recording.record(
        "starting", lambda user: user.provider(name).refresh_lease(starting), is_reading=True
    )
    await _record_looks(recording, ready)
    await recording.record("release", lambda user: user.provider(name).release_lease(ready))
    await driver.release_lease()


async def _bind_address(recording: Recording, driver: LeaseDriver[LeaseProvider]) -> None:
    name, user = recording.name, recording.user
    provider: object = driver.provider
    if not isinstance(provider, SupportsMailBinding):
        return
    binding = await provider.request_binding(user.mail.address, "bind")
    payment = await driver.pay_bill(binding.bill) if binding.bill is not None else None
    while not binding.done:
        await user.clock.sleep(timedelta(seconds=15))
        binding = await recording.record("bind", partial(_complete_binding, name, binding, payment))


async def _complete_binding(
    name: str, binding: MailBinding, payment: Payment | None, user: TapedUser
) -> MailBinding:
    provider: SupportsMailBinding = user.provider(name, _BINDING)
    return await provider.complete_binding(binding, payment)


async def _record_looks(recording: Recording, lease: Lease) -> None:
    name, quote = recording.name, lease.offer.tariff.price.currency
    looks: dict[str, Action] = {
        "refresh": lambda user: user.provider(name).refresh_lease(lease),
        "leases": lambda user: user.provider(name).list_leases(),
        "charges": lambda user: user.billing(name).list_charges(lease),
        "rate": lambda user: user.billing(name).get_rate(quote),
    }
    billing: object = recording.user.billing(name)
    if not isinstance(billing, PostpaidBilling):
        looks["balance"] = lambda user: user.billing(name).get_balance()
    if isinstance(billing, SupportsStatement):
        looks["statement"] = lambda user: user.billing(name, _STATEMENT).get_statement()
    if isinstance(billing, SupportsInvoices):
        looks["invoices"] = lambda user: user.billing(name, _INVOICES).get_invoice_info()
    for look, action in looks.items():
        await recording.record(look, action, is_reading=True)


async def _record(provider: TestableProvider) -> Recording:
    simulators = installed_plugins().get_entries(SimulatorEntry)
    async with sandbox_harness(*simulators) as sandbox:
        plain = sandbox.user()
        user = TapedUser(registry=plain.registry, clock=plain.clock, mail=plain.mail, config=plain.config)
        funding = provider.get_funding(sandbox.simulators.simulators)
        if fields := funding.get_login_fields():
            user.credentials[user.find_auth(provider.name)] = {
                name: Secret(value) for name, value in fields.items()
            }
        await funding.add_money((await user.login(provider.name)).account)
        recording = Recording(provider.name, user)
        user.tape.stage = "between"
        await _record_life(recording)
        await user.aclose()
    return recording


@cache
def record_provider(name: str) -> Recording:
    """Return the recording of a provider, made once in this process. No event loop may be running in this thread."""
    provider = next(one for one in list_testable_providers() if one.name == name)
    return asyncio.run(_record(provider))
