"""The whole command line in both languages: help, usage errors, and the output of every command on a whole trip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import httpx2
import pytest
from attrs import define

from gpurent.cli.builtin import load_registry
from gpurent.roles.entries import CommandEntry
from gpurent.testing.shared_sandbox import CommandLineResult, CommandLineUser, SharedSandbox, shared_sandbox
from tests.cli.language_probe import CHINESE, find_chinese_lines, find_english_lines
from tests.command_line import run_command

LANGUAGES = ("en", "zh")
JOB = "import time\nprint(1, flush=True)\ntime.sleep(0.1)\nopen('out.txt', 'w').write('1')\n"


def find_foreign_lines(output: str, language: str) -> list[str]:
    return find_english_lines(output) if language == "zh" else find_chinese_lines(output)


def format_foreign(foreign: Mapping[tuple[str, ...], Sequence[str]]) -> str:
    return "".join(
        f"\n$ gpurent {' '.join(arguments)}\n  " + "\n  ".join(lines) for arguments, lines in foreign.items()
    )


def list_help_pages() -> list[tuple[str, ...]]:
    """Return the arguments of every command and subcommand, hidden ones too."""
    pages: list[tuple[str, ...]] = [()]
    for name, entry in load_registry().get_entries(CommandEntry).items():
        pages += list_command_pages((name,), entry.build())
    return pages


def list_command_pages(path: tuple[str, ...], command: click.Command) -> list[tuple[str, ...]]:
    inner = command.commands if isinstance(command, click.Group) else {}
    below = (list_command_pages((*path, name), each) for name, each in inner.items())
    return [path, *(page for pages in below for page in pages)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_help_page_is_in_one_language(language: str, tmp_path: Path) -> None:
    foreign: dict[tuple[str, ...], list[str]] = {}
    for page in list_help_pages():
        result = run_command(
            "--lang", language, *page, "--help", environment={"HOME": str(tmp_path)}, folder=tmp_path
        )
        assert result.code == 0, result.err
        assert bool(CHINESE.search(result.out)) is (language == "zh"), page
        if lines := find_foreign_lines(result.out, language):
            foreign[page] = lines
    assert not foreign, format_foreign(foreign)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_has_a_help_text(language: str, tmp_path: Path) -> None:
    silent = []
    for name, entry in load_registry().get_entries(CommandEntry).items():
        command = entry.build()
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for each in (command, *inner):
            options = [p for p in each.params if isinstance(p, click.Option) and not p.hidden]
            silent += [(name, each.name, option.opts) for option in options if not option.help]
    assert silent == []


USAGE_ERRORS = (
    ("nosuch",),
    ("lss",),
    ("ls", "--nosuch"),
    ("ls", "--al"),
    ("show",),
    ("show", "one", "two"),
    ("renew", "x", "soon"),
    ("run", "--for", "soon", "--", "x"),
    ("run", "--budget", "much", "--", "x"),
    ("run", "--gpus", "none", "--", "x"),
    ("run", "--deadline", "soon", "--", "x"),
    ("run", "--on-error", "cry", "--", "x"),
    ("run", "--folder"),
    ("run", "--folder", "nowhere", "--", "x"),
    ("run", "--provider", "nowhere", "--", "x"),
    ("run", "-p", "mistgpu", "--lease", "x", "--", "x"),
    ("run", "--project", "nowhere.toml", "--", "x"),
    ("offers", "--in", "GOLD"),
    ("push", "x", "nowhere"),
    ("push", "x", ".", "--limit", "fast"),
    ("forward", "x", "port"),
    ("costs", "--since", "soon"),
    ("costs", "--by", "colour"),
    ("sandbox", "nosuch"),
    ("sandbox", "up", "--speed", "none"),
    ("sandbox", "up", "--speed", "0"),
    ("notify", "nosuch"),
    ("login", "nowhere"),
    ("show", "none"),
    ("release", "none"),
    ("receipts", "none"),
    ("ls",),
    ("trips",),
    ("resume",),
    ("providers",),
    ("plugin", "list"),
    ("whoami",),
    ("env",),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_usage_errors_and_empty_lists_are_in_one_language(language: str, tmp_path: Path) -> None:
    foreign: dict[tuple[str, ...], list[str]] = {}
    for arguments in USAGE_ERRORS:
        result = run_command(
            "--lang", language, *arguments, environment={"HOME": str(tmp_path)}, folder=tmp_path
        )
        if lines := find_foreign_lines(result.out + result.err, language):
            foreign[arguments] = lines
    assert not foreign, format_foreign(foreign)


@define
class LanguageUser:
    """A user who runs commands in one language; ``foreign`` collects what was in the other one."""

    sandbox: SharedSandbox
    user: CommandLineUser
    folder: Path
    language: str
    foreign: dict[tuple[str, ...], list[str]]

    def run(self, *arguments: str, input_text: str = "", code: int | None = 0) -> CommandLineResult:
        environment = {**self.user.environment, "GPURENT_LANG": self.language}
        result = run_command(*arguments, environment=environment, folder=self.folder, input_text=input_text)
        assert code is None or result.code == code, result.out + result.err
        if lines := find_foreign_lines(result.out + result.err, self.language):
            self.foreign[arguments] = lines
        return result

    def run_all(self, commands: Sequence[str]) -> None:
        for line in commands:
            self.run(*line.split(), code=None)

    def json(self, *arguments: str) -> object:
        environment = {**self.user.environment, "GPURENT_LANG": self.language}
        result = run_command("--json", "--no-input", *arguments, environment=environment, folder=self.folder)
        return json.loads(result.out)["data"]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SharedSandbox]:
    with shared_sandbox(
        tmp_path / "sandbox", speed=240, machines=6, settings={"mistgpu.password": "student-pass"}
    ) as made:
        yield made


@pytest.fixture(params=[pytest.param("en", marks=pytest.mark.nightly), "zh"])
def cli_user(request: pytest.FixtureRequest, sandbox: SharedSandbox, tmp_path: Path) -> LanguageUser:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(JOB)
    return LanguageUser(sandbox, sandbox.user(tmp_path / "home"), folder, request.param, {})


@pytest.mark.nightly
def test_metered_trip_output_is_in_one_language(cli_user: LanguageUser) -> None:
    login = ("login", "mistgpu", "-f", "username=student", "--stdin", "password")
    cli_user.run(*login, input_text="wrong\n", code=4)
    cli_user.run(*login, input_text="student-pass\n")
    run = ("run", "-y", "-p", "mistgpu", "--results", "out.txt")
    cli_user.run("-y", *run[:1], *run[2:], "--", "train.py", code=5)
    cli_user.run("topup", "mistgpu", "60", "--no-wait", "--no-browser", code=None)
    page = cli_user.json("topup", "mistgpu", "60", "--no-wait")
    assert isinstance(page, dict)
    assert httpx2.post(f"{page['url'].rstrip('/')}/settle").status_code == 200
    cli_user.run_all(
        (
            "whoami",
            "balance mistgpu",
            "offers --for 1d --in CNY",
            "offers --gpu H900",
            "plan -p mistgpu --results out.txt -- train.py",
            "invoice mistgpu",
            "invoice mistgpu -r",
            "withdraw mistgpu",
            "topup dbc 10",
        )
    )
    cli_user.run("-y", "run", "-p", "mistgpu", "--keep", "--results", "out.txt", "--", "train.py")
    leases = cli_user.json("ls")
    assert isinstance(leases, list)
    lease = leases[0]["id"]
    cli_user.run_all(
        (
            "ls",
            "ls --refresh",
            "ls --wide",
            "status",
            "offers --wide",
            f"show {lease}",
            f"doctor {lease}",
            f"sessions {lease}",
            f"logs {lease}",
            f"logs {lease} nosuch",
            f"start {lease} -- sleep 300",
            f"start {lease} --name second -- false",
            f"sessions {lease}",
            f"logs {lease} second --status",
            f"stop {lease} nosuch",
            f"stop {lease} second",
            f"exec {lease} -- false",
            f"timer {lease}",
            f"timer {lease} 5h",
            f"timer {lease} off",
            f"push {lease} train.py",
            f"push {lease} train.py --transfer sftp --delete",
            f"push {lease} . --dry-run",
            f"pull {lease} nosuch",
            f"pull {lease} nosuch --transfer sftp",
            f"pull {lease} train.py --to copy",
            f"renew {lease} 1d",
            f"upgrade {lease}",
            f"restart {lease}",
            f"declare {lease} --balance 3CNY",
            f"forward {lease} 99999",
            f"export openssh {lease} -o ssh.conf",
            f"export nosuch {lease}",
            f"open {lease} nosuch",
            "trips",
            "watch --once",
            "watch install --as systemd --print",
            "watch uninstall --as systemd",
            "notify test",
            f"-y release {lease}",
            f"-y release {lease}",
            f"show {lease}",
            "receipts",
            f"receipts {lease}",
            "costs",
            "costs --by provider",
            "reconcile",
            "resume",
            "ls --all",
            "trips --wide",
            f"logs {lease} -n 1",
            "status",
            "providers",
            "providers mistgpu",
            "config list",
            "config set budget.month five",
            "config set budget.mnth 5CNY",
            "config get budget.month",
            "config edit",
            "version",
            "help nosuch",
            "adopt nonsense",
            "logout mistgpu",
            "logout mistgpu",
        )
    )
    assert not cli_user.foreign, format_foreign(cli_user.foreign)


def test_staged_trip_output_is_in_one_language(cli_user: LanguageUser) -> None:
    made = cli_user.json("login", "1024gpu")
    assert isinstance(made, dict)
    cli_user.run("login", "1024gpu", code=None)
    cli_user.run(
        "-y", "run", "-p", "1024gpu", "--for", "1d", "--results", "out.txt", "--", "train.py", code=5
    )
    cli_user.sandbox.post("dbc", "/sandbox/faucet", address=made["account"], amount="300000")
    cli_user.run_all(
        (
            "balance 1024gpu",
            "whoami",
            "whoami --show-key 1024gpu",
            "topup 1024gpu 100 --no-wait --no-browser",
            "withdraw 1024gpu",
            "invoice 1024gpu",
            "plan -p 1024gpu --for 1d --staged --results out.txt -- train.py",
        )
    )
    cli_user.run(
        "-y", "run", "-p", "1024gpu", "--for", "1d", "--staged", "--results", "out.txt", "--", "train.py"
    )
    cli_user.run_all(
        ("trips", "ls --all", "receipts", "costs", "reconcile", "balance 1024gpu", "login dbc-chain")
    )
    assert not cli_user.foreign, format_foreign(cli_user.foreign)


def test_language_probe_detects_the_other_language() -> None:
    assert find_english_lines("错误：the line is lost") == ["错误：the line is lost"]
    assert not find_english_lines(
        "没有花钱。请先充值：gpurent topup mistgpu 3.00CNY\n  mistgpu-sp66t: 已关机"
    )
    assert find_chinese_lines("lease l1: 已释放") == ["lease l1: 已释放"]
