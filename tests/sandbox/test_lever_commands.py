"""What a judge can do to a running sandbox from the command line, and the page that says so."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from gpurent.errors import InputRequired
from gpurent.testing.load_timeouts import LoadDeadline
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"


@frozen
class Judge:
    """Someone who knows only the command line."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, code: int = 0, input_text: str = "") -> CommandLineResult:
        found = run_command(
            *arguments, environment=self.environment, folder=self.folder, input_text=input_text
        )
        assert found.code == code, found.out + found.err
        return found

    def sandbox(self, line: str, code: int = 0) -> CommandLineResult:
        return self.run("sandbox", *shlex.split(line), code=code)

    def json(self, line: str) -> Any:
        return self.run("--json", *shlex.split(line)).data

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that is going to be killed."""
        return subprocess.Popen(
            [sys.executable, "-m", "gpurent", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """A user with a login, some money and a machine."""
    folder = tmp_path_factory.mktemp("judge")
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    outside = Judge(folder, base)
    outside.sandbox("up --driver embedded --speed 60")
    try:
        lines = outside.sandbox("env").out.splitlines()
        pairs = dict(shlex.split(line)[1].split("=", 1) for line in lines)
        made = Judge(folder, base | pairs)
        made.sandbox("login mistgpu")
        page = made.json("topup mistgpu 100 --no-wait")["url"]
        urllib.request.urlopen(f"{page}/settle", b"").close()  # noqa: S310 - the sandbox's own page
        made.run(*shlex.split("-y rent -p mistgpu"))
        yield made
    finally:
        outside.sandbox("down")


@pytest.fixture
def lease(judge: Judge) -> str:
    return str(judge.json("ls")[0]["id"])


@pytest.fixture
def port(judge: Judge) -> str:
    return str(judge.json("sandbox machine list")[0]["port"])


@pytest.mark.nightly
def test_faults_are_added_counted_and_cleared(judge: Judge) -> None:
    added = judge.json('sandbox fault add mistgpu --path "/user/*" --status 429 --header Retry-After:60')
    refused = judge.run("balance", "mistgpu", code=8)
    assert "HTTP 429" in refused.err
    (fault,) = judge.json("sandbox fault list")
    assert fault["id"] == added["id"]
    assert fault["matched"] == fault["applied"] >= 1
    assert "status 429, Retry-After: 60" in judge.sandbox("fault list").out
    assert "1 fault is in force" in judge.sandbox("status").out
    calls = judge.json("sandbox calls --last 1")
    assert calls["calls"][0]["fault"] == fault["id"]
    assert calls["count"] == calls["calls"][0]["number"]
    assert "429" in judge.sandbox("calls --last 1").out
    assert "1 fault was cleared" in judge.sandbox(f"fault clear {fault['id']}").out
    assert "No fault is in force" in judge.sandbox("fault list").out


FAULTS = [
    ("--html --times 9", "mistgpu", "balance mistgpu", 9),
    ("--empty --times 9", "mistgpu", "balance mistgpu", 9),
    ("--lose --after --times 9", "mistgpu", "balance mistgpu", 8),
    ("--refuse", "mistgpu", "balance mistgpu", 8),
    ("--duplicate --slow 0.1", "*", "balance mistgpu", 0),
]


@pytest.mark.parametrize(("options", "service", "command", "code"), FAULTS)
def test_effects_as_a_user_sees_them(
    judge: Judge, options: str, service: str, command: str, code: int
) -> None:
    judge.sandbox(f"fault add {shlex.quote(service)} {options}")
    try:
        judge.run(*command.split(), code=code)
        assert judge.json("sandbox fault list")[0]["applied"] >= 1
    finally:
        judge.sandbox("fault clear")
    judge.run("balance", "mistgpu")


def test_an_edited_answer(judge: Judge) -> None:
    before = judge.json("balance mistgpu")
    judge.sandbox(r"""fault add mistgpu --replace "[0-9]+\.[0-9][0-9]" 777.25""")
    try:
        assert "777.25" in json.dumps(judge.json("balance mistgpu")) != json.dumps(before)
    finally:
        judge.sandbox("fault clear")


WRONG = [
    ("fault add mistgpu", "no effect"),
    ("fault add nosuch --lose", "no service 'nosuch'"),
    ("fault add mistgpu --refuse --nth 2", "sees no calls"),
    ("fault add mistgpu --html --empty", "use only one"),
    ("fault add mistgpu --header x", "NAME:VALUE"),
    ("fault add mistgpu --replace ( x", "regular expression"),
    ("fault clear 999", "no fault 999"),
    ("machine kill nosuch", "no machine is called nosuch"),
    ("end mistgpu nosuch", "costs money at mistgpu"),
    ("clock --client 4m", "not a difference of clocks"),
    ("clock --client +4m --reset", "either --client or --reset"),
]


@pytest.mark.parametrize(("line", "text"), WRONG)
def test_mistakes_change_nothing(judge: Judge, line: str, text: str) -> None:
    assert text in judge.run("sandbox", *line.split(), code=2).err
    assert judge.json("sandbox fault list") == []


@pytest.mark.nightly
def test_the_sandbox_answers_in_the_user_s_language(judge: Judge) -> None:
    line = "sandbox fault add nosuch --lose"
    assert "沙盒里没有服务" in judge.run("--lang", "zh", *line.split(), code=2).err
    assert "the sandbox has no service" in judge.run(*line.split(), code=2).err


@pytest.mark.parametrize(
    ("options", "created"), [pytest.param("--hold", 0, marks=pytest.mark.nightly), ("--hold --after", 1)]
)
def test_a_client_is_killed_inside_a_call(judge: Judge, options: str, created: int) -> None:
    before = len(judge.json("sandbox machine list"))
    fault = judge.json(f'sandbox fault add mistgpu --method POST --path "/create/*" {options}')["id"]
    client = judge.start("-y", "rent", "-p", "mistgpu")
    assert judge.json(f"sandbox fault wait {fault} --timeout 60")["held"] == 1
    client.send_signal(signal.SIGKILL)
    client.wait()
    deadline = LoadDeadline(10)
    while judge.json("sandbox fault list")[0]["held"]:
        assert not deadline.is_over
        time.sleep(0.02)
    judge.sandbox("fault clear")
    assert len(judge.json("sandbox machine list")) == before + created


def test_a_mailbox_that_refuses(judge: Judge) -> None:
    judge.sandbox('fault add mail --method LOGIN --body "login frequency limited" --times 1')
    try:
        mail = {name.removeprefix("GPURENT_IMAP_"): value for name, value in judge.environment.items()}
        script = (
            "import imaplib, sys\n"
            "for _try in range(2):\n"
            "    client = imaplib.IMAP4('127.0.0.1', int(sys.argv[1]), timeout=20)\n"
            "    try:\n"
            "        print(client.login(sys.argv[2], sys.argv[3])[0], client.select('INBOX')[0])\n"
            "    except imaplib.IMAP4.error as error:\n"
            "        print(error)\n"
            "    client.shutdown()\n"
        )
        arguments = [sys.executable, "-c", script, mail["PORT"], mail["USER"], mail["PASSWORD"]]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines() == ["b'login frequency limited'", "OK OK"]
        calls = judge.json("sandbox calls")["calls"]
        assert [c["path"] for c in calls if c["method"] == "LOGIN"] == [f"/{mail['USER']}"] * 2
        assert mail["PASSWORD"] not in json.dumps(calls)
    finally:
        judge.sandbox("fault clear")


def test_a_wrong_client_clock(judge: Judge) -> None:
    script = (
        "import os\nfrom gpurent.infra.clock import make_clock\n"
        "print(make_clock(os.environ['GPURENT_CLOCK']).now())"
    )

    def read_client_clock() -> datetime:
        done = subprocess.run(
            [sys.executable, "-c", script], env=judge.environment, capture_output=True, text=True, check=True
        )
        return datetime.fromisoformat(done.stdout.strip())

    assert "4 min ahead" in judge.sandbox("clock --client +4m").out
    before = datetime.fromisoformat(judge.json("sandbox status")["now"])
    client = read_client_clock()
    after = datetime.fromisoformat(judge.json("sandbox status")["now"])
    assert before + timedelta(minutes=4) <= client <= after + timedelta(minutes=4)
    assert "4 min ahead" in judge.sandbox("status").out
    judge.sandbox("advance 3600")
    assert read_client_clock() > after + timedelta(minutes=64)
    assert judge.json("sandbox clock --client -12h")["client_clock_error"] == -12 * 3600
    assert read_client_clock() < after
    assert "same time" in judge.sandbox("clock --reset").out
    assert read_client_clock() <= datetime.fromisoformat(judge.json("sandbox clock")["now"])


def test_machine_levers(judge: Judge, lease: str, port: str) -> None:
    judge.sandbox(f"machine hide {port} screen")
    assert "no screen" in judge.sandbox("machine list").out
    judge.run("exec", lease, "--", "sh", "-c", "command -v screen", code=127)
    judge.sandbox(f"machine hide {port} screen --off")
    assert "screen" in judge.run("exec", lease, "--", "sh", "-c", "command -v screen").out
    judge.sandbox(f"machine refuse {port}")
    assert "refuses connections" in judge.sandbox("machine list").out
    judge.sandbox(f"machine refuse {port} --off")
    judge.sandbox(f"machine freeze {port}")
    assert "frozen" in judge.sandbox("machine list").out
    judge.sandbox(f"machine freeze {port} --off")
    judge.sandbox(f"machine fill {port}")
    (judge.folder / "file").write_bytes(b"x" * 5000)
    assert "no space left" in judge.run("push", lease, "file", "--transfer", "sftp", code=7).err
    judge.sandbox(f"machine fill {port} --off")
    judge.run("push", lease, "file", "--transfer", "sftp")
    judge.sandbox(f"machine rekey {port}")
    assert "Its host key changed" in judge.run("exec", lease, "--", "true", code=11).err
    billed = judge.json("sandbox status")["billed_machines"]
    judge.sandbox(f"machine kill {port}")
    assert port not in judge.sandbox("machine list").out
    assert judge.json("sandbox status")["billed_machines"] == billed, "the provider is not told"


@pytest.mark.parametrize("check", ["fail", pytest.param("none", marks=pytest.mark.nightly)])
def test_the_check_of_senders_decides_who_is_asked(judge: Judge, tmp_path: Path, check: str) -> None:
    """A user whose machine's address comes by e-mail."""
    user = Judge(
        tmp_path, {**judge.environment, "HOME": str(tmp_path), "GPURENT_HOME": str(tmp_path / "home")}
    )
    account = user.json("login 1024gpu")["account"]
    faucet = f"{user.environment['GPURENT_DBC_URL']}/sandbox/faucet"
    given = json.dumps({"address": account, "amount": "300000"}).encode()
    urllib.request.urlopen(faucet, given).close()  # noqa: S310 - likewise
    assert judge.json("sandbox mail") == {"check": "pass"}
    assert check in judge.sandbox(f"mail --check {check}").out
    try:
        refused = user.run(*shlex.split("-y rent -p 1024gpu --for 1d"), code=InputRequired.exit_code)
    finally:
        judge.sandbox("mail --check pass")
    assert "did not confirm" in refused.err
    (lease,) = user.json("ls")
    assert f"gpurent connect {lease['id']}" in refused.err, "it is kept and named"
    assert judge.json("sandbox mail") == {"check": "pass"}


def test_the_page_names_every_command_and_option() -> None:
    from gpurent.cli.commands.sandbox import sandbox_command

    text = PAGE.read_text("utf-8")
    fault, machine = (sandbox_command.commands[name] for name in ("fault", "machine"))
    assert [
        name for name in sandbox_command.commands if f"`{name}`" not in text and f"sandbox {name}" not in text
    ] == []
    assert [name for name in machine.commands if f"machine {name}" not in text] == []  # type: ignore[attr-defined]
    for option in fault.commands["add"].params:  # type: ignore[attr-defined]
        if option.opts[0].startswith("--") and option.opts[0] not in ("--root", "--json"):
            assert f"`{option.opts[0]}" in text, option.opts[0]


async def test_the_python_example_on_the_page_works(capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(text, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    await names["lose_the_second_call"]()
    assert capsys.readouterr().out == "0 0 []\n"


@pytest.mark.nightly
@pytest.mark.slow
def test_the_example_on_the_page_works(tmp_path: Path) -> None:
    script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    base = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    try:
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            env={**base, "LANG": "C.UTF-8"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
    finally:
        run_command("sandbox", "down", environment=base, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exit code 8" in done.stdout
    assert "held, after the effect" in done.stdout
    assert re.search(r"^m\w+ +gpu", done.stdout, re.MULTILINE), "the machine runs"
    assert done.stdout.rstrip().endswith("The sandbox has stopped.")
