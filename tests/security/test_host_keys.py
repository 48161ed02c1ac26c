"""Machines that are contacted for the first time, moved, or show another host key: who is asked, and what is sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from attrs import define, evolve, field

from gpurent.cli.terminal import UserTerminal
from gpurent.domain.access import USER_SOURCE, AccessChannel, AccessSource, Endpoint
from gpurent.domain.events import Event
from gpurent.domain.lease import Lease
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged, InputRequired, UnavailableError
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.ssh.connector import SshConnector
from gpurent.testing.fakes.clock import ManualClock
from gpurent.testing.fakes.questions import MemoryQuestions
from gpurent.testing.fakes.ssh_server import RecordingSshServer, recording_ssh_server
from gpurent.testing.fakes.storage import MemoryVault
from gpurent.workflow.connection.contact_questions import ContactQuestions, make_request
from gpurent.workflow.connection.contacts import MachineContacts, PasswordProof
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.questions import Questions
from tests.sample_lease import make_lease
from tests.security.attacks import Adversary, Outcome, attack

PASSWORD = Secret("the-first-password")
SANDBOX = AccessSource(channel=AccessChannel.SERVICE, is_authenticated=True, is_sandbox=True)
SERVICE = AccessSource(channel=AccessChannel.SERVICE, is_authenticated=True)
MAIL = AccessSource(channel=AccessChannel.MAIL)


@define
class Person:
    """Who sits at the terminal, if anybody does. ``yes``: typed `-y`."""

    is_interactive: bool = False
    yes: bool = False
    answer: bool = True
    questions: list[Question] = field(factory=list)

    @property
    def can_confirm(self) -> bool:
        return self.yes or self.is_interactive

    async def confirm(self, question: Question) -> bool:
        if self.yes and not question.needs_person:
            return True
        self.questions.append(question)
        return self.is_interactive and self.answer

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        return None

    async def ask_question(self, question: Question) -> str | None:
        return None


@define
class Vaults:
    vault: MemoryVault

    def get_vault(self, scope: str) -> MemoryVault:
        return self.vault

    async def unlock(self, *, create: bool = False) -> None:
        pass


@define
class Door:
    """The product's own way to machines, for one lease."""

    contacts: MachineContacts
    ssh: SshConnector
    person: Person
    vault: MemoryVault
    lease: Lease
    events: list[Event]
    real: bool = False

    async def log_in(self, endpoint: Endpoint, source: AccessSource, fingerprint: str = "") -> None:
        """Try to log in; the machine refuses every login, so that an `AuthError` is a success."""
        lease = evolve(self.lease, endpoint=endpoint, access_source=source)
        with pytest.raises(AuthError):
            await self.contacts.open_connection(lease, make_request(lease, endpoint, fingerprint=fingerprint))

    async def prove(
        self, endpoint: Endpoint, source: AccessSource, foreign_keys: Sequence[str] = ()
    ) -> PasswordProof:
        lease = evolve(self.lease, endpoint=endpoint, access_source=source.vouch_for(endpoint))
        return await self.contacts.try_password(lease, make_request(lease, endpoint), foreign_keys)

    async def be_stopped(
        self, endpoint: Endpoint, source: AccessSource, kind: type[Exception] = InputRequired
    ) -> Any:
        """Try to log in, and return the error that comes before anything is sent."""
        lease = evolve(self.lease, endpoint=endpoint, access_source=source)
        with pytest.raises(kind) as caught:
            await self.contacts.open_connection(lease, make_request(lease, endpoint))
        return caught.value


@pytest.fixture
def door(tmp_path: Path) -> Door:
    ssh = SshConnector(make_private_folder(tmp_path / "ssh"), connect_timeout=5)
    clock, person = ManualClock(), Person()
    vault = MemoryVault()
    vault.put("password", PASSWORD)
    emitter, events = EventEmitter(clock), list[Event]()
    emitter.subscribe(events.append)
    questions = ContactQuestions(Questions(MemoryQuestions(), person, clock), ssh)

    async def uses_real_services() -> bool:
        return made.real

    contacts = MachineContacts(ssh, Vaults(vault), questions, emitter, uses_real_services)
    lease = evolve(make_lease(), id="lease-1", password_ref="password")
    made = Door(contacts, ssh, person, vault, lease, events)
    return made


def make_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@asynccontextmanager
async def machine(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[RecordingSshServer]:
    async with recording_ssh_server(make_key(), host, port) as server:
        yield server


async def test_a_first_contact_is_shown_and_goes_on_unattended(door: Door) -> None:
    async with machine() as server:
        await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
        assert server.passwords == [PASSWORD.reveal()]
    (event,) = door.events
    assert str(server.endpoint) in event.text
    pinned = door.ssh.find_pinned_host_key("lease-1", server.endpoint)
    assert pinned is not None
    assert pinned.fingerprint in event.text
    assert door.person.questions == []


async def test_a_terminal_asks_once_and_minus_y_not(door: Door) -> None:
    door.person.is_interactive = True
    async with machine() as server:
        for _again in range(2):
            await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
        (question,) = door.person.questions
        assert question.kind is QuestionKind.TRUST
        assert str(server.endpoint) in question.text
        assert "SHA256:" in question.text
    door.person.yes = True
    other = evolve(door, lease=evolve(door.lease, id="lease-2"))
    async with machine() as server:
        await other.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
    assert len(door.person.questions) == 1


async def test_a_no_stops_before_anything_is_sent(door: Door) -> None:
    door.person = door.contacts.questions.questions.prompter  # type: ignore[assignment]
    door.person.is_interactive, door.person.answer = True, False
    async with machine() as server:
        error = await door.be_stopped(server.endpoint, SANDBOX.vouch_for(server.endpoint))
        assert (server.users, server.passwords) == ([], [])
    assert error.burning == ("lease-1",)


@pytest.mark.parametrize("yes", [False, True])
@pytest.mark.parametrize(
    "source", [MAIL, AccessSource(), evolve(SANDBOX, is_authenticated=False)], ids=["mail", "none", "service"]
)
@attack(
    Adversary.MAIL_SENDER,
    "leads the first connection to a machine of their own",
    Outcome.ASKED,
    kind="S2",
)
async def test_unauthenticated_access_needs_a_person(door: Door, source: AccessSource, yes: bool) -> None:
    door.person.yes = yes
    async with machine() as server:
        error = await door.be_stopped(server.endpoint, source.vouch_for(server.endpoint))
        assert (server.users, server.passwords) == ([], [])
    assert "where you are asked: gpurent connect lease-1\n" in error.hint
    assert "gpurent release lease-1" in error.hint
    assert error.burning == ("lease-1",)
    assert door.ssh.list_host_keys("lease-1") == []


async def test_a_person_may_agree_and_the_fingerprint_is_an_answer(door: Door) -> None:
    source = evolve(USER_SOURCE, is_authenticated=False)
    async with machine() as server:
        shown = await door.ssh.fetch_host_key(server.endpoint, ())
        await door.log_in(server.endpoint, source.vouch_for(server.endpoint), shown.fingerprint)
        assert server.passwords == [PASSWORD.reveal()]
    door.person.is_interactive = True
    other = evolve(door, lease=evolve(door.lease, id="lease-2", password_ref=""))
    async with machine() as server:
        await other.log_in(server.endpoint, source.vouch_for(server.endpoint))
    (question,) = door.person.questions
    assert question.needs_person


@attack(
    Adversary.NETWORK,
    "answers in place of the machine whose fingerprint the user typed",
    Outcome.REFUSED,
    kind="S7",
)
async def test_another_fingerprint_than_the_user_s_is_refused(door: Door) -> None:
    async with machine() as server:
        lease = evolve(door.lease, endpoint=server.endpoint, access_source=SANDBOX.vouch_for(server.endpoint))
        request = make_request(lease, server.endpoint, fingerprint="SHA256:" + "A" * 43)
        with pytest.raises(HostKeyChanged):
            await door.contacts.open_connection(lease, request)
        assert (server.users, server.passwords) == ([], [])
    assert door.ssh.list_host_keys("lease-1") == []


@pytest.mark.parametrize("yes", [False, True])
@attack(
    Adversary.NETWORK,
    "shows another host key at the machine's own place",
    Outcome.ASKED,
    kind="S7",
)
async def test_a_changed_key_asks_and_gets_no_password(door: Door, yes: bool) -> None:
    async with machine() as server:
        await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
    door.person.yes = yes
    async with machine(port=server.endpoint.port) as other:
        error = await door.be_stopped(other.endpoint, SANDBOX.vouch_for(other.endpoint))
        assert "host key changed" in error.hint
        pinned = door.ssh.find_pinned_host_key("lease-1", other.endpoint)
        assert pinned is not None
        assert pinned.fingerprint in error.hint
        door.person.is_interactive = True
        await door.log_in(other.endpoint, SANDBOX.vouch_for(other.endpoint))
        assert other.passwords == [], "it was meant for the machine with the first key"
    former, current = door.ssh.list_host_keys("lease-1")
    assert (former.is_current, current.is_current) == (False, True)
    assert former.key == pinned


@attack(
    Adversary.NETWORK,
    "shows another host key that the user agreed to, and waits for the second login",
    Outcome.REFUSED,
    kind="S7",
)
async def test_a_password_that_came_with_the_place_never_goes_to_another_key(door: Door) -> None:
    """The password came together with the place, by mail; a second login there is an ordinary one."""
    async with machine() as server:
        came = evolve(MAIL, is_authenticated=True, is_sandbox=True).vouch_for(
            server.endpoint, has_password=True
        )
        await door.log_in(server.endpoint, came)
        assert server.passwords == [PASSWORD.reveal()]
    door.person.is_interactive = True
    async with machine(port=server.endpoint.port) as other:
        for _time in range(3):
            await door.log_in(other.endpoint, came)
        assert other.passwords == []


@pytest.mark.parametrize("yes", [False, True])
@attack(
    Adversary.PROVIDER,
    "names another place for a machine that no order of ours moved",
    Outcome.ASKED,
    kind="S7",
)
async def test_a_new_place_asks_and_never_gets_the_old_password(door: Door, yes: bool) -> None:
    async with machine() as server:
        await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
    door.person.yes = yes
    async with machine() as other:
        error = await door.be_stopped(other.endpoint, SANDBOX.vouch_for(other.endpoint))
        assert "another place" in error.hint
        assert f"[127.0.0.1]:{server.endpoint.port}" in error.hint, "where it was until now"
        door.person.is_interactive = True
        await door.log_in(other.endpoint, SANDBOX.vouch_for(other.endpoint))
        assert other.passwords == []
        # One that came together with the new place is its own.
        door.vault.put("password", Secret("its own"))
        await door.log_in(other.endpoint, SANDBOX.vouch_for(other.endpoint, has_password=True))
        assert other.passwords == ["its own"]
    assert len(door.ssh.list_host_keys("lease-1")) == 2


async def test_after_our_own_order_a_new_place_is_a_first_contact(door: Door) -> None:
    async with machine() as server:
        await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
    door.ssh.retire_host_keys("lease-1")
    door.person.is_interactive = True
    door.vault.put("password", Secret("its own"))
    async with machine() as other:
        await door.log_in(other.endpoint, SANDBOX.vouch_for(other.endpoint, has_password=True))
        assert other.passwords == ["its own"]
    assert door.person.questions == []
    assert "new machine of this lease" in door.events[-1].text


@attack(
    Adversary.MAIL_SENDER,
    "names the new place after an order of ours, in a mail that nobody confirms",
    Outcome.ASKED,
    kind="S2",
)
async def test_after_our_own_order_a_mail_is_still_checked(door: Door) -> None:
    async with machine() as server:
        await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
    door.ssh.retire_host_keys("lease-1")
    async with machine() as other:
        error = await door.be_stopped(other.endpoint, MAIL.vouch_for(other.endpoint))
        assert "did not confirm" in error.hint
        assert (other.users, other.passwords) == ([], [])


@attack(
    Adversary.MAIL_SENDER,
    "names another lease's machine, whose host key is known",
    Outcome.ASKED,
    kind="S7",
)
async def test_the_pin_of_another_lease_counts_for_that_lease_only(door: Door) -> None:
    async with machine() as server:
        await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
        other = evolve(door, lease=evolve(door.lease, id="lease-2"))
        await other.be_stopped(server.endpoint, MAIL.vouch_for(server.endpoint))


INNER = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "[fe80::1]", "[::ffff:10.0.0.1]"]


@pytest.mark.parametrize("host", INNER)
@pytest.mark.parametrize("source", [SERVICE, evolve(MAIL, is_authenticated=True)], ids=["page", "mail"])
@attack(
    Adversary.PROVIDER,
    "names an address of this computer, of the local network or of the cloud's metadata service",
    Outcome.ASKED,
    kind="S2",
)
async def test_inner_addresses_are_not_even_dialled(
    door: Door, source: AccessSource, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", _forbid)
    endpoint = Endpoint("root", host, 22)
    error = await door.be_stopped(endpoint, source.vouch_for(endpoint))
    assert "not on the Internet" in error.hint
    assert "where you are asked: gpurent connect lease-1\n" in error.hint
    assert "…" not in error.hint, "what is printed can be run"


@pytest.mark.parametrize("host", INNER)
@attack(
    Adversary.PROVIDER,
    "names an inner address for a new machine, and waits for its release, also by the guard",
    Outcome.REFUSED,
    kind="S2",
)
async def test_no_release_dials_an_inner_address_for_its_proof(
    door: Door, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", _forbid)
    door.person.is_interactive = True
    assert await door.prove(Endpoint("root", host, 22), SERVICE) is PasswordProof.NOT_ASKED
    assert door.person.questions == []


@attack(
    Adversary.PROVIDER,
    "names a machine that accepts any password, so that it counts as ours and gets the password",
    Outcome.REFUSED,
    kind="S2",
)
async def test_a_proof_sends_the_password_only_where_the_rule_lets_it(door: Door) -> None:
    async with machine() as server, machine() as other:
        assert await door.prove(server.endpoint, MAIL) is PasswordProof.NOT_ASKED
        assert await door.prove(server.endpoint, SERVICE) is PasswordProof.NOT_ASKED
        key = await door.ssh.fetch_host_key(server.endpoint, ())
        assert await door.prove(server.endpoint, SANDBOX, [key.line]) is PasswordProof.REJECTED
        assert server.passwords == []
        assert await door.prove(server.endpoint, SANDBOX) is PasswordProof.REJECTED
        assert server.passwords == [PASSWORD.reveal()], "a first contact"
        await door.log_in(server.endpoint, SANDBOX.vouch_for(server.endpoint))
        assert await door.prove(other.endpoint, SANDBOX) is PasswordProof.NOT_ASKED
        assert other.passwords == []


@attack(
    Adversary.MAIL_SENDER,
    "names a host name that leads to an inner address",
    Outcome.ASKED,
    kind="S2",
)
async def test_a_name_is_judged_by_where_it_leads(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint("root", "machine.example", 22)
    for addresses in (["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["8.8.8.8", "::1"]):
        _answer_names(monkeypatch, [addresses])
        error = await door.be_stopped(endpoint, SERVICE.vouch_for(endpoint))
        assert "not on the Internet" in error.hint


@attack(
    Adversary.NETWORK,
    "lets a host name lead elsewhere between the check and the connection",
    Outcome.REFUSED,
    kind="S2",
)
async def test_only_the_checked_addresses_are_dialled(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async with machine() as server, machine("127.0.0.2", server.endpoint.port) as inner:
        asked = _answer_names(monkeypatch, [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]])
        endpoint = Endpoint("mist", "machine.example", server.endpoint.port)
        await door.log_in(endpoint, USER_SOURCE.vouch_for(endpoint))
        assert server.passwords == [PASSWORD.reveal()]
        assert (inner.users, inner.passwords) == ([], [])
    assert asked == ["machine.example"]


@attack(
    Adversary.LOCAL_USER,
    "names a sandbox's machine on this computer in a data folder that is used with a real service",
    Outcome.ASKED,
    kind="S3",
)
async def test_a_folder_with_real_services_has_no_machines_here(door: Door) -> None:
    async with machine() as server:
        door.real = True
        await door.be_stopped(server.endpoint, SANDBOX.vouch_for(server.endpoint))
        assert server.users == []


async def test_minus_y_is_no_answer_where_a_person_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question(id="contact:x", kind=QuestionKind.TRUST, text="?", needs_person=True)
    assert not await UserTerminal(yes=True, no_input=True).confirm(question)
    terminal, typed = UserTerminal(yes=True), list[str]()
    terminal.is_interactive = True

    async def read(prompt: str, *, secret: bool = False) -> str:
        typed.append(prompt)
        return "n"

    monkeypatch.setattr(terminal, "_read_line", read)
    assert not await terminal.confirm(question)
    assert len(typed) == 1
    assert await terminal.confirm(evolve(question, needs_person=False))


async def test_an_unknown_name_is_no_machine(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint("root", "machine.example", 22)
    _answer_names(monkeypatch, [])
    await door.be_stopped(endpoint, SERVICE.vouch_for(endpoint), UnavailableError)


def _forbid(*_arguments: object, **_named: object) -> Any:
    raise AssertionError("a socket is opened")


def _answer_names(monkeypatch: pytest.MonkeyPatch, answers: Sequence[Sequence[str]]) -> list[str]:
    """Answer each look-up of a host name with the next addresses; return the list of the names that are asked for."""
    asked, rest = list[str](), [list(answer) for answer in answers]

    async def look_up(host: str, port: int, **_named: object) -> Any:
        asked.append(host)
        if not rest:
            raise socket.gaierror("no such name")
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port)) for one in rest.pop(0)
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    return asked
