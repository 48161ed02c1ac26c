"""What others write reaches a terminal as text alone: from each source to each sink, in both languages."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import shutil
import sqlite3
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from attrs import evolve, frozen
from hypothesis import given, strategies as st

from gpurent.api import (
    Endpoint,
    Event,
    EventKind,
    ExportedLease,
    GpurentError,
    JobState,
    JobStatus,
    LeaseError,
    Money,
    Secret,
    SessionInfo,
    UnavailableError,
    UnexpectedResponse,
    UsageError,
)
from gpurent.cli.builtin import load_registry
from gpurent.cli.commands.leases import format_health
from gpurent.cli.failures import show_error
from gpurent.cli.json_output import escape_invisible
from gpurent.cli.main import LazyGroup
from gpurent.cli.output import print_log, write_page, write_quoted
from gpurent.cli.stream_stripper import StreamStripper
from gpurent.cli.terminal import UserTerminal
from gpurent.cli.top.columns import format_cells, format_detail
from gpurent.cli.views.cost_page import escape_text
from gpurent.cli.views.render import format_machine
from gpurent.cli.views.table import MAX_CELL_LENGTH, format_table
from gpurent.domain.health import Finding, HealthReport, Verdict
from gpurent.domain.machine_facts import DiskSpace, Gpu, MachineFacts, PythonInterpreter
from gpurent.domain.question import UNCHECKED_MAIL, Question, QuestionKind
from gpurent.domain.trip_fields import PROJECT_FILE
from gpurent.infra.redact import Redactor
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.infra.ssh.connector import SshConnector
from gpurent.locale import use_language
from gpurent.ports.connection import Reachability
from gpurent.terminal_text import MAX_LINE_LENGTH, ForeignLines
from gpurent.testing.fakes import ManualClock
from gpurent.testing.fakes.http_server import http_reply, http_server
from gpurent.workflow.reports.overview import LeaseRow, MachineSample
from gpurent.workflow.runtime.notices import NoticeBuilder
from gpurent.workflow.steps.setup import _setup_error as setup_error
from gpurent_plugin_imap.mail_parser import parse_mail
from plugins.dbcchain.tests.chain_harness import REAL_NODE, chain_harness
from tests.command_line import WarmProcess
from tests.security import hostile_plugin
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.canaries import HOSTILE, LONG, POSED_ROW, find_harm

LANGUAGES = ("en", "zh")
# Where the other language adds little, it is tried at night.
SECOND_AT_NIGHT = ("en", pytest.param("zh", marks=pytest.mark.nightly))


@frozen
class Screen:
    """What a command printed on a terminal, as its bytes came, and its exit code."""

    text: str
    code: int


@frozen
class Stage:
    """A user with the hostile plugin and one of its leases; the command line runs in a terminal."""

    root: Path
    process: WarmProcess

    @property
    def project(self) -> Path:
        """A folder with nothing in it but one file."""
        return self.root / "project"

    def run(self, *arguments: str, language: str = "en", folder: Path | None = None) -> Screen:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GPURENT_HOME": str(self.root / "home"),
            "GPURENT_STATE_HOME": str(self.root / "outside"),
            "GPURENT_LANG": language,
            "TERM": "xterm-256color",
            "COLUMNS": "200",
        }
        ours, theirs = pty.openpty()
        with self.process.start(
            arguments, environment, folder or self.root, [theirs, theirs, theirs], {}
        ) as (_pid, end):
            os.close(theirs)
            seen = bytearray()
            while chunk := _read(ours):
                seen += chunk
            os.close(ours)
            return Screen(seen.decode(), int(end.readline()))


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # the other side is closed
        return b""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    root = tmp_path_factory.mktemp("hostile")
    packages, home = root / "packages", root / "home"
    packages.mkdir()
    home.mkdir(mode=0o700)
    hostile_plugin.install(packages)
    store = SqliteStore(home / "journal.sqlite", lambda: datetime.now(UTC))
    asyncio.run(store.save_lease(hostile_plugin.make_lease()))
    store.close()
    (root / "project").mkdir()
    (root / "project" / "train.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(packages))
        process = WarmProcess("en")
    made = Stage(root, process)
    made.run("--no-input", "login", "hostile")
    yield made
    process.close()


@frozen
class FixedClocks:
    """Implements `gpurent.ports.system.ProviderClocks`: every service has the same clock."""

    clock: ManualClock

    def clock_of(self, service: str) -> ManualClock:
        return self.clock


def check_commands(stage: Stage, language: str, *commands: tuple[str, ...], code: int = 0) -> str:
    """Run the commands; return what they printed after it was found to be harmless, and to show the text."""
    shown = ""
    for arguments in commands:
        screen = stage.run(*arguments, language=language, folder=stage.project)
        assert screen.code == code, screen.text
        assert not find_harm(screen.text), arguments
        shown += screen.text
    assert "said" in shown
    return shown


LISTINGS = (
    ("--no-input", "login", "hostile"),
    ("whoami",),
    ("providers",),
    ("show", "hostile-1"),
    ("offers", "-p", "hostile"),
    ("ls",),
    ("-vv", "ls", "--refresh"),
    ("orphans",),
    ("topup", "hostile", "5CNY", "--no-wait"),
    ("receipts", "hostile-1"),
    ("plan", "-p", "hostile", "--no-project", "--", "true"),
)


@attack(
    Adversary.PROVIDER,
    "offers, machines, notes, prices, charges and instructions with escapes, and with rows that pose as ours",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_provider_lists(stage: Stage, language: str) -> None:
    chosen = LISTINGS if language == "en" else LISTINGS[::2]
    check_commands(stage, language, *chosen)


@attack(
    Adversary.PROVIDER,
    "refusals, reasons and bodies of errors with escapes and line breaks, also in the log and the guard's output",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", SECOND_AT_NIGHT)
def test_how_a_provider_refuses(stage: Stage, language: str) -> None:
    refused = (("-y", "-vv", "rent", "-p", "hostile"), ("-y", "release", "hostile-1"))
    check_commands(stage, language, *refused, code=LeaseError.exit_code)
    check_commands(stage, language, ("-vv", "withdraw", "hostile", "1CNY"), code=UnexpectedResponse.exit_code)
    check_commands(stage, language, ("trips",), ("-vv", "watch", "--once"), ("show", "hostile-1"))


@attack(
    Adversary.PROVIDER,
    "escapes and direction marks in what `--json` prints, which terminals and pagers show",
    Outcome.HARMLESS,
    kind="S5",
)
def test_json_has_no_raw_control_character(stage: Stage) -> None:
    for arguments in (
        ("ls", "--json"),
        ("offers", "-p", "hostile", "--json"),
        ("receipts", "hostile-1", "--json"),
    ):
        printed = stage.run(*arguments).text
        assert not find_harm(printed)
        assert json.loads(printed)["ok"]


def test_a_json_document_keeps_each_character_of_a_text() -> None:
    text = f"{HOSTILE}\U0001f642 中文 \ud800"
    printed = escape_invisible(json.dumps(text, ensure_ascii=False))
    assert printed.isprintable()
    assert json.loads(printed) == text
    assert "中文" in printed


@attack(
    Adversary.PROVIDER,
    "escapes in leases that an earlier version stored as they came",
    Outcome.HARMLESS,
    kind="S5",
)
def test_what_was_stored_before_is_cleaned_when_it_is_read(stage: Stage, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(stage.root / "home", home)
    with closing(sqlite3.connect(home / "journal.sqlite")) as database, database:
        database.create_function("this_journal_needs_a_newer_gpurent", -1, lambda *_given: 0)
        (stored,) = database.execute("SELECT value FROM lease_records").fetchone()
        raw = json.dumps({**json.loads(stored), "note": HOSTILE, "ref": HOSTILE})
        database.execute("UPDATE lease_records SET value = ?", (raw,))
    screen = Stage(tmp_path, stage.process).run("show", "hostile-1")
    assert screen.code == 0, screen.text
    assert "said" in screen.text
    assert not find_harm(screen.text)


@attack(
    Adversary.PROVIDER,
    "names and notes of 100,000 characters, to push everything else off the screen",
    Outcome.HARMLESS,
    kind="S5",
)
def test_long_text_is_cut() -> None:
    offer = evolve(hostile_plugin.make_offer(), key=LONG, note=LONG)
    assert len(offer.key) == len(offer.note) == MAX_LINE_LENGTH
    lines = format_table(("machine", "note"), [(offer.key, offer.note)]).split("\n")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 2 * MAX_CELL_LENGTH + 2


@attack(
    Adversary.PLUGIN_AUTHOR,
    "escapes in the summaries of a plugin, its options and its error at import or inside a command",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_plugin_says_of_itself(stage: Stage, language: str) -> None:
    check_commands(stage, language, ("--help",), ("hostile", "--help"), ("plugin", "list"))
    check_commands(stage, language, ("hostile", "--way", HOSTILE), code=UsageError.exit_code)
    check_commands(stage, language, ("-vv", "hostile"), code=1)
    reports = list((stage.root / "home" / "logs").glob("gpurent-crash-*"))
    assert reports
    assert not [report for report in reports if find_harm(report.read_text())]


def test_completion_offers_no_escapes() -> None:
    """The shell prints what it completes, and what stands beside it."""
    group = LazyGroup("gpurent")
    command = click.Command("hostile", help=HOSTILE)
    group.registry = cast(Any, SimpleNamespace(get_entries=lambda _kind: {}))
    group.add_command(command)
    group.list_commands = lambda ctx: ["hostile"]  # type: ignore[method-assign]
    group.get_command = lambda ctx, cmd_name: command  # type: ignore[method-assign]
    (item,) = group.shell_complete(click.Context(group), "h")
    assert not find_harm(f"{item.value} {item.help}")


# servers and machines


@asynccontextmanager
async def ssh_impostor(greeting: bytes, reason: bytes = b"") -> AsyncIterator[Endpoint]:
    """Listen as an SSH server that sends ``greeting``, and then disconnects for ``reason``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.readline()
        if reason:
            payload = b"\x01" + struct.pack(">II", 11, len(reason)) + reason + struct.pack(">I", 0)
            padding = 4 + -(len(payload) + 9) % 8
            head = struct.pack(">IB", len(payload) + padding + 1, padding)
            writer.write(head + payload + bytes(padding))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Endpoint("root", "127.0.0.1", server.sockets[0].getsockname()[1])


SSH_GREETINGS = {
    "a version that is not ASCII": ("SSH-2.0-évil\r\n".encode(), b""),
    "a version with escapes": (b"SSH-2.0-\x1b]0;owned\x07\x9b2J\r\n", b""),
    "lines before the version": (f"{HOSTILE}\r\n".encode() * 9 + b"SSH-2.0-x\r\n", b"bye"),
    "a reason to disconnect": (b"SSH-2.0-x\r\n", HOSTILE.encode()),
    "a reason that is not UTF-8": (b"SSH-2.0-x\r\n", b"\xff\x9b2J"),
    "no SSH at all": (b"\x1b[2J" * 1000 + b"\r\n", b""),
    "a line without end": (b"A" * 100_000, b""),
}


@attack(
    Adversary.NETWORK,
    "an SSH server answers with escapes before any login: version, lines before it, reason to disconnect",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", SSH_GREETINGS)
async def test_what_an_ssh_server_says_before_the_login(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, language: str
) -> None:
    connector = SshConnector(tmp_path, connect_timeout=5)
    with use_language(language):
        async with ssh_impostor(*SSH_GREETINGS[case]) as endpoint:
            with pytest.raises(UnavailableError) as failed:
                await connector.open_connection("lease", endpoint, Secret("password"))
            assert await connector.probe_endpoint("lease", endpoint) is Reachability.NO_ANSWER
        show_error(failed.value, None)
    printed = capsys.readouterr().err
    assert str(endpoint) in printed
    assert len(printed.splitlines()) == 1
    assert not find_harm(printed)


PIECES = (
    b"epoch 1\r",
    b"epoch 2\rep",
    b"och 3\r\n",
    b"clip \x1b",
    b"]52;c;cHdu",
    b"ZWQ=\x07board \x1b[3",
    b"1mred\x1b[0m ",
    "é".encode()[:1],
    "é".encode()[1:] + b" \xc2",
    b"\x9b2J\xff \xe2\x80",
    b"\xaeover\n\x1b]0;never ended",
)


@attack(
    Adversary.MACHINE_OWNER,
    "a job prints escapes, also cut into pieces that arrive one by one, and overwrites its lines",
    Outcome.HARMLESS,
    kind="S5",
)
def test_what_a_job_prints(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = UserTerminal()
    for piece in PIECES:
        terminal.show_output(piece)
    printed = capsys.readouterr().out
    assert not find_harm(printed)
    assert printed.splitlines() == ["epoch 1", "epoch 3", "clip board red é 2J� over"]


@given(st.lists(st.binary(max_size=6) | st.sampled_from(PIECES), max_size=30))
def test_a_job_s_output_is_harmless_however_it_is_cut(pieces: list[bytes]) -> None:
    for in_place in (False, True):
        stripper = StreamStripper(in_place=in_place)
        parts = [part for piece in pieces for part in stripper.feed(piece)] + stripper.finish()
        assert not find_harm("\n".join(parts).replace(POSED_ROW, ""))


@attack(
    Adversary.MACHINE_OWNER,
    "escapes in what a machine reports of itself: its system, GPUs, users, sessions and last lines",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_machine_reports(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    facts = MachineFacts(
        at=datetime.now(UTC),
        user=HOSTILE,
        sudo=HOSTILE,
        system=HOSTILE,
        pythons=(PythonInterpreter(name=HOSTILE, version=HOSTILE),),
        cuda=HOSTILE,
        driver=HOSTILE,
        gpus=(Gpu(name=HOSTILE, memory=1, processes=(HOSTILE,)),),
        home=DiskSpace(path=HOSTILE, free=1, total=2),
        package_manager=HOSTILE,
    )
    lease = evolve(hostile_plugin.make_lease(), machine_facts=facts)
    session = SessionInfo(id=HOSTILE, name=HOSTILE, attached=False, since=HOSTILE)
    row = LeaseRow(lease=lease, sample=MachineSample(load=1, lines=(HOSTILE, LONG)))
    stale = evolve(row, stale_reason=HOSTILE)
    finding = Finding(check="gpu", verdict=Verdict.WARNING, text=HOSTILE, advice=HOSTILE, cause=HOSTILE)
    with use_language(language):
        write_page(format_machine(lease, load_registry()))
        write_page(format_table(("id",), [(session.id,), (session.name,), (session.since,)]))
        write_page(format_health(HealthReport(at=facts.at, findings=(finding,)), lease.id))
        screen = "\n".join(
            [
                *(text.plain for text in format_cells(row, facts.at).values()),
                format_detail(row).plain,
                format_detail(stale).plain,
            ]
        )
    printed = capsys.readouterr().out + screen
    assert "said" in printed
    assert not find_harm(printed)


@attack(
    Adversary.MACHINE_OWNER,
    "the end of a failed setup's log contains lines that pose as hints of ours",
    Outcome.HARMLESS,
    kind="S5",
)
def test_the_end_of_a_setup_s_log_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "setup.log"
    log.write_text(f"collecting\n{HOSTILE}\nPay again: gpurent topup mistgpu 500CNY\n")
    show_error(setup_error(JobStatus(state=JobState.ENDED, exit_code=1), log), None)
    printed = capsys.readouterr().err
    assert not find_harm(printed)
    assert "\n| Pay again" in printed


# mail, chain, repository


@attack(
    Adversary.MAIL_SENDER,
    "escapes in the sender, the subject and the text of a mail",
    Outcome.HARMLESS,
    kind="S5",
)
def test_what_a_mail_says() -> None:
    encoded = b64encode(HOSTILE.encode()).decode()
    raw = (
        f'From: "\x1b]0;owned\x07" <code@example.com>\nSubject: =?utf-8?b?{encoded}?=\n'
        f"Content-Type: text/plain; charset=utf-8\n\n{HOSTILE}\nCode: 1234\n"
    )
    mail = parse_mail("1", message_from_bytes(raw.encode()), datetime.now(UTC), UNCHECKED_MAIL)
    question = Question(id="q", kind=QuestionKind.CODE, text=mail.subject, details=(mail.text, mail.sender))
    assert isinstance(mail.text, ForeignLines)
    assert "Code: 1234" in mail.text.splitlines()
    assert not find_harm("\n".join((mail.sender, mail.subject, question.text, *question.details)))


@attack(
    Adversary.CHAIN_NODE,
    "a node rejects a call with an error full of escapes, or answers with a page of them",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", SECOND_AT_NIGHT)
async def test_how_a_chain_node_refuses(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    answers = (
        json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": HOSTILE, "data": HOSTILE}}),
        json.dumps({"jsonrpc": "2.0", "id": 1, "result": HOSTILE}),
        f"<html>{HOSTILE}",
    )
    with use_language(language):
        async with chain_harness() as harness:
            user = await harness.make_user({"url": REAL_NODE})
            for answer in answers:
                async with http_server(http_reply(answer.encode())) as node:
                    user.user.redirects[REAL_NODE] = node.url
                    with pytest.raises(GpurentError) as failed:
                        await user.wallet.get_balance()
                show_error(failed.value, None)
                assert not find_harm(f"{failed.value.detail}\n{failed.value}")
    printed = capsys.readouterr().err
    assert printed
    assert not find_harm(printed)


PROJECT = 'provider = ["mistgpu"]\ncommand = ["true"]\n'
PROJECT_LINES = (
    r'command = ["\u001b]52;c;cHduZWQ=\u0007"]',
    r'command = ["\u009b2J\u202e\u200b"]',
    r'command = "true\n  posed-row\r"',
    r'command = "true\n  posed-row"',
    r'results = ["out\u202egpj"]',
    r'commands = ["echo \u202e\u200b\u001b[2J"]',
    r'commands = ["echo a\n  posed-row\r"]',
    r'setup = ["echo a\n  posed-row"]',
    r'pip = ["numpy\u001b]0;owned\u0007\u202e"]',
    r'name = "\u001b]0;owned\u0007"',
    r'"\u001b]0;owned\u0007\n  posed-row" = 1',
)


@attack(
    Adversary.REPOSITORY,
    "values of a project file contain escapes and line breaks, to hide from the question what they do",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", SECOND_AT_NIGHT)
def test_what_a_project_file_decides(stage: Stage, tmp_path: Path, language: str) -> None:
    shown = []
    for line in PROJECT_LINES:
        kept = [own for own in PROJECT.splitlines() if own.split()[0] != line.split()[0]]
        (tmp_path / PROJECT_FILE).write_text("\n".join([*kept, line]))
        screen = stage.run("--no-input", "run", language=language, folder=tmp_path)
        assert not find_harm(screen.text), line
        if screen.code != UsageError.exit_code:  # not refused, so it is shown whole in the question
            assert line.partition(" = ")[2].strip('[]"') in screen.text
            shown.append(line)
    assert shown == [
        line for line in PROJECT_LINES if "\\n" in line and "\\r" not in line and "owned" not in line
    ]


@attack(
    Adversary.REPOSITORY,
    "files and folders whose names contain escapes, line breaks and direction marks",
    Outcome.HARMLESS,
    kind="S5",
)
def test_names_of_files(stage: Stage, tmp_path: Path) -> None:
    hostile = "a\x1b]0;owned\x07\u202egpj\n  posed-row\x9b2J"
    folder = tmp_path / hostile
    folder.mkdir()
    for name in (hostile, f".env{hostile}", "plain"):
        (folder / name).write_text("x")
    printed = stage.run("plan", "-p", "hostile", "--no-project", "--", "true", folder=folder).text
    assert not find_harm(printed)
    assert "\\u202egpj" in printed


# other sinks


@attack(
    Adversary.PROVIDER,
    "escapes in the title, the body and the data of a notification",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_notifications(stage: Stage, tmp_path: Path, language: str) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / "journal.sqlite", clock.now)
    await store.save_lease(hostile_plugin.make_lease())

    async def get_spending(_lease: str) -> Sequence[Money]:
        return ()

    builder = NoticeBuilder(store, clock, FixedClocks(clock), Redactor(), get_spending)
    event = Event(
        kind=EventKind.WARNING,
        at=clock.now(),
        lease="hostile-1",
        text=f"warning: {HOSTILE}",
        data={"why": HOSTILE},
    )
    notice = await builder.build_notice(event, language)
    store.close()
    assert isinstance(notice.body, ForeignLines)
    assert len(notice.title.splitlines()) == 1
    assert not find_harm(f"{notice.title}\n{notice.body}\n{notice.event.text}")


@attack(
    Adversary.PROVIDER,
    "escapes, markup and direction marks in names that the HTML page of costs shows",
    Outcome.HARMLESS,
    kind="S5",
)
def test_the_page_of_costs() -> None:
    shown = escape_text(f"<script>{HOSTILE}")
    assert "<" not in shown
    assert not [c for c in shown if not c.isprintable() and c not in "\n\t"]


@attack(
    Adversary.PROVIDER,
    "line breaks and escapes in what an ssh config or a connection profile would contain",
    Outcome.REFUSED,
    kind="S5",
)
@pytest.mark.parametrize("field", ["name", "host_key", "fingerprint", "folder"])
def test_exports_take_no_foreign_line(field: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "name": "hostile-1",
        "endpoint": Endpoint("root", "gpu.example.com"),
        "key_file": tmp_path / "key",
        "known_hosts": tmp_path / "known_hosts",
    }
    ExportedLease(**given)
    for text in (HOSTILE, "a\n  ProxyCommand true", "a\x1b[2J", "a\u202eb"):
        with pytest.raises(ValueError, match=field):
            ExportedLease(**{**given, field: text})
    for user, host in (("root\nx", "h"), ("root", "h\n  ProxyCommand true"), ("r\u202e", "h")):
        with pytest.raises(UsageError):
            Endpoint(user, host)


@attack(
    Adversary.PROVIDER,
    "escapes in questions, progress titles, events and log records, which are printed as things happen",
    Outcome.HARMLESS,
    kind="S5",
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_printed_while_a_trip_runs(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime.now(UTC)
    terminal = UserTerminal(yes=True)
    question = Question(id="q", kind=QuestionKind.SPEND, text=HOSTILE, details=(HOSTILE, f"pay {HOSTILE}"))
    with use_language(language):
        for kind in EventKind:
            data: dict[str, str | int] = {"state": "ready", "qr": HOSTILE}
            terminal.show_event(
                Event(kind=kind, at=at, lease="hostile-1", text=f"{kind} {HOSTILE}", data=data)
            )
        asyncio.run(terminal.confirm(question))
        asyncio.run(terminal.choose(question, {"yes": HOSTILE}))
        progress = terminal.start_progress(HOSTILE)
        progress.set_total(1, 1)
        terminal.close()
        write_quoted(HOSTILE)
        logger = logging.Logger("plugin")  # noqa: LOG001 - a global one would leak
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logging, "lastResort", None)
            print_log(Redactor(), logging.WARNING)
            try:
                raise ValueError(HOSTILE)
            except ValueError:
                logger.exception("the service said %s", HOSTILE)
    printed = "\n".join(capsys.readouterr())
    assert printed.count("said") > len(EventKind)
    assert not find_harm(printed)
