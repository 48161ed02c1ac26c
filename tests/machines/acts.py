"""What a user does on a machine. An act returns if the product did it, and raises `ActFailed` if not."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from attrs import evolve

from gpurent.testing.load_timeouts import wait_until
from tests.machines.machine import ADOPT, Full, Login
from tests.machines.visit import PASSWORD, ActFailed, Printed, Visit

Act = Callable[[Visit], Awaitable[None]]

FILES = {
    "train.py": "print('hello')\n",
    "empty": "",
    "data/part one/numbers.txt": "".join(f"{number}\n" for number in range(20_000)),
    "data/naïve – 数据.txt": "text\n",
    "-rf": "a name that looks like an option\n",
    "run.sh": "#!/bin/sh\necho run\n",
}
EXECUTABLE = "run.sh"
# A word for each thing that a shell between the user and the program could take for its own.
WORDS = ("two words", "it's", '"quoted"', "$HOME", "back\\slash", "*", "50%", "a!b", "~", "#no", "", "第一")
LONG_JOB = "sleep 614"
JOB = "echo hello; pwd > ../where; echo oops >&2; echo bye; exit 5"
INTERRUPTED = 130
DETACH_KEYS = {"screen": b"\x01d", "tmux": b"\x02d"}


async def adopt(visit: Visit) -> None:
    """Adopt it with what the user has: the password or a key."""
    command = ["adopt", visit.ssh_line, "--provider", "ssh", "--json"]
    if visit.odd.login is Login.KEY:
        printed = await visit.require(*command, "--key", str(visit.root / "user" / "key"))
    else:
        printed = await visit.require(*command, "--stdin", "password", input_text=f"{PASSWORD}\n")
    visit.lease = str(json.loads(printed.out)["data"]["id"])
    await _prepare(visit)


async def _prepare(visit: Visit) -> None:
    """Put on the machine what later acts need; then its disk may be full."""
    for transfer in ("turbo", "sftp"):
        make_tree(visit.home / f"for-{transfer}")
    for session in DETACH_KEYS:
        (visit.home / f"job-{session}").mkdir()
    if visit.odd.full is Full.ADOPTED:
        await visit.driver.fill_disk(visit.machine.id, True)
    if visit.odd.home_mode is not None:
        visit.home.chmod(visit.odd.home_mode)


async def run_words(visit: Visit) -> None:
    """Run a program with difficult arguments; its output, errors and exit code must come back."""
    script = 'printf "[%s]" "$@"; echo; echo oops >&2; exit 3'
    printed = await visit.require("exec", visit.lease, "--", "sh", "-c", script, "sh", *WORDS, code=3)
    _check(
        "".join(f"[{word}]" for word in WORDS) in printed.out, printed, "the arguments did not arrive whole"
    )
    _check("oops" in printed.err, printed, "its errors did not come back")
    line = await visit.require("exec", visit.lease, "--", "echo one; false || exit 4", code=4)
    _check("one" in line.out, line, "the line was not run")


async def push(visit: Visit, transfer: str) -> None:
    """Upload a folder twice: it must lie below the home folder, whole, and the second time nothing is sent."""
    source = make_tree(visit.root / f"push-{transfer}" / "project")
    options = ("--to", transfer, "--transfer", transfer, "--json")
    await visit.require("push", visit.lease, str(source), *options)
    printed = await visit.require("push", visit.lease, str(source), *options)
    _check_tree(visit.home / transfer / "project", printed)
    _check(json.loads(printed.out)["data"]["sent"] == 0, printed, "it was sent twice")


async def pull(visit: Visit, transfer: str) -> None:
    """Download a folder that is on the machine."""
    target = visit.root / f"pull-{transfer}"
    printed = await visit.require(
        "pull", visit.lease, f"for-{transfer}", "--to", str(target), "--transfer", transfer, "--json"
    )
    _check_tree(target / f"for-{transfer}", printed)


async def start(visit: Visit, session: str) -> None:
    """Start a job in a folder and leave; it must run there, and its exit code must be known later."""
    folder = f"job-{session}"
    work = "cat /dev/zero > zeros" if visit.odd.full is Full.DURING else "sleep 0.2"
    await visit.require(
        *("start", visit.lease, "--name", folder, "--session", session, "--in", folder),
        *("--", "sh", "-c", f"pwd > where.new; mv where.new where; {work}; exit 7"),
    )
    try:
        printed = await visit.require("logs", visit.lease, folder, "--session", session, "-f", code=7)
    finally:
        (visit.home / folder / "zeros").unlink(missing_ok=True)
    where = visit.home / folder / "where"
    _check(where.exists(), printed, "the job ran elsewhere")
    _check(Path(where.read_text().strip()).name == folder, printed, f"it ran in {where.read_text()!r}")


async def logs(visit: Visit) -> None:
    """Read a job's output and exit code, with whatever session backend the product chooses."""
    await visit.require(
        "start", visit.lease, "--name", "talk", "--", "sh", "-c", "echo hello; echo oops >&2; exit 5"
    )
    printed = await visit.require("logs", visit.lease, "talk", "--follow", code=5)
    _check(printed.out.splitlines() == ["hello", "oops"], printed, f"the log is {printed.out!r}")
    await visit.require("logs", visit.lease, "talk", "--status", code=5)


async def attach(visit: Visit) -> None:
    """Attach the user's terminal to a job's session, see its output, and leave it running."""
    await visit.require(
        "start",
        visit.lease,
        "--name",
        "tick",
        "--",
        "sh",
        "-c",
        "while :; do echo tick-tock; sleep 0.3; done",
    )
    with visit.started("attach", visit.lease, "tick", has_terminal=True) as command:
        seen = await command.wait_for_text("tick-tock", "press Enter")
        if "tick-tock" not in command.out:
            command.press(b"\r")
            seen = await command.wait_for_text("tick-tock")
        for keys in DETACH_KEYS.values():
            command.press(keys)
            await asyncio.sleep(0.2)
        code = await command.wait()
    _check(seen and code == 0, visit.typed[-1], "the keys did not detach it" if seen and code is None else "")
    ended = await visit.require("stop", visit.lease, "tick")
    _check("ended" in ended.out, ended, f"it did not run any more: {ended.out}")


async def stop(visit: Visit) -> None:
    """Stop a job with its children."""
    await visit.require(
        "start", visit.lease, "--name", "long", "--", "sh", "-c", f"{LONG_JOB} & {LONG_JOB}; wait"
    )

    async def is_running() -> bool:
        return sum(line.startswith(LONG_JOB) for line in visit.list_commands()) == 2

    await wait_until(is_running, 10)
    printed = await visit.require("stop", visit.lease, "long")
    left = [line for line in visit.list_commands() if line.startswith(LONG_JOB)]
    _check(not left, printed, f"still running: {left}")


async def set_timer(visit: Visit) -> None:
    """Set, read and turn off the machine's own timer."""
    await visit.require("timer", visit.lease, "--for", "10h")
    _check(any("timer.sh" in line for line in visit.list_commands()), visit.typed[-1], "no timer runs there")
    printed = await visit.require("timer", visit.lease, "--json")
    left = json.loads(printed.out)["data"]
    _check(left is not None, printed, "it does not know its timer")
    await visit.require("timer", visit.lease, "--off")


async def forward(visit: Visit) -> None:
    """Reach a server on the machine through a port of this computer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"answer to " + await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with visit.started("forward", visit.lease, f"0:{port}", "--json") as command:
            got = b""
            if await command.wait_for_text("url"):
                here = int(json.loads(command.out)["data"][0]["url"].rstrip("/").rpartition(":")[2])
                reader, writer = await asyncio.open_connection("127.0.0.1", here)
                writer.write(b"hello\n")
                got = await reader.read()
                writer.close()
                command.interrupt()
            code = await command.wait()
    # It goes on after a refused connection: Ctrl-C is what ended it.
    _check(got == b"answer to hello\n", evolve(visit.typed[-1], code=code or INTERRUPTED))
    _check(code in (0, INTERRUPTED), visit.typed[-1], "Ctrl-C did not end it")


async def examine(visit: Visit) -> None:
    """Let the doctor look; a machine without a GPU for which nobody pays is not ill."""
    printed = await visit.type("doctor", visit.lease, "--json")
    if printed.code not in (0, 7) or not printed.out:
        raise ActFailed(printed)
    findings = {one["check"]: one for one in json.loads(printed.out)["data"]["findings"]}
    _check("doctor" not in findings, printed, f"it did not come to its end: {findings.get('doctor')}")
    wanted = visit.odd.doctor_finds
    failures = [one for one in findings.values() if one["verdict"] == "failure"]
    bad = [one["text"] for one in failures if one["cause"] != wanted]
    _check(not bad, printed, "; ".join(bad))
    causes = [one["cause"] for one in findings.values() if one["cause"]]
    _check(not wanted or wanted in causes, printed, f"it did not find {wanted}, but {causes}")


ACT_FUNCTIONS: dict[str, Act] = {
    ADOPT: adopt,
    "exec": run_words,
    "push turbo": partial(push, transfer="turbo"),
    "push sftp": partial(push, transfer="sftp"),
    "start screen": partial(start, session="screen"),
    "start tmux": partial(start, session="tmux"),
    "logs": logs,
    "attach": attach,
    "stop": stop,
    "pull turbo": partial(pull, transfer="turbo"),
    "pull sftp": partial(pull, transfer="sftp"),
    "timer": set_timer,
    "forward": forward,
    "doctor": examine,
}


def make_tree(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / EXECUTABLE).chmod(0o755)
    return folder


def _check_tree(folder: Path, printed: Printed) -> None:
    """Compare a folder that was transferred."""
    for name, text in FILES.items():
        path = folder / name
        _check(path.is_file(), printed, f"{name} is not in {folder.name}")
        _check(path.read_text() == text, printed, f"{name} has another content")
    _check(bool((folder / EXECUTABLE).stat().st_mode & 0o100), printed, f"{EXECUTABLE} cannot be run")


def _check(is_right: bool, printed: Printed, why: str = "") -> None:
    if not is_right:
        raise ActFailed(printed, why)
