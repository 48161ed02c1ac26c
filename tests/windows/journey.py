"""A journey of a user on Windows through the sandbox, step by step: what works on one Windows works on the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

from attrs import define
from lxml import etree

from gpurent.infra.platform.windows.autostart import TASK_NAME
from gpurent.testing.shared_sandbox import SharedSandbox
from tests.windows.users import WindowsUser, require, run, run_python, running_python

HOSTILE = r"""
rm -rf out; mkdir -p out/bs out/cs out/deep; cd out
echo good > deep/good.txt
printf bad > 'bs/..\..\escaped.txt'; printf bad > 'a:stream'; printf bad > 'aux.txt'; printf bad > 'NUL'
printf bad > 'end.'; printf bad > 'end '; printf bad > 'q"q'; printf bad > 'a*b'; printf bad > 'c|d'
printf one > cs/Case; printf two > cs/case; printf bad > 'GIT~1'; printf good > '.bashrc'
ln -s /etc/passwd away; ln -s deep inside
"""
LEFT_OUT = 11
LOCK_HOLDER = """
import sys, time
from pathlib import Path
from gpurent.infra.platform.file_locks import FileLocks
held = FileLocks(Path(sys.argv[1])).take(sys.argv[2])
print("held" if held else "busy", flush=True)
time.sleep(120)
"""
RUN_TASK = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1]))"
TASK_SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


@define
class Journey:
    """``lease``: the machine that the user has rented. ``tasks``: the folder of Task Scheduler, if it is there.

    ``is_short``: without what other tests do on every system.
    """

    sandbox: SharedSandbox
    user: WindowsUser
    tasks: Path | None = None
    is_short: bool = False
    lease: str = ""

    def take_steps(self, report: Callable[[str, str], None] = lambda _step, _found: None) -> None:
        """Take all steps, each from where the one before ended; ``report`` is given what it has found."""
        for name, take in STEPS.items():
            if self.is_short and name in LEFT_TO_NIGHT:
                continue
            report(name, "FAILED")
            report(name, take(self))

    def log_in(self) -> str:
        fields = self.sandbox.cloud.simulators.login_fields()["mistgpu"]
        options = ("-f", f"username={fields['username']}", "--stdin", "password")
        require(run(self.user, "login", "mistgpu", *options, input_text=f"{fields['password']}\n"))
        page = run(self.user, "topup", "mistgpu", "100", "--no-wait", "--json").data["url"]
        urllib.request.urlopen(f"{page}/settle", b"").close()  # noqa: S310 - the sandbox's own page
        return "password by stdin, topped up"

    def list_offers(self) -> str:
        assert self.is_short or run(self.user, "offers", "-p", "mistgpu", "--json").data
        return "as JSON"

    def run_trip(self) -> str:
        project = self.user.folder / "project"
        (project / "src").mkdir(parents=True)
        (project / "train.py").write_bytes(b"import src.model\r\nsrc.model.train()\r\n")
        (project / "src" / "model.py").write_text(
            "import os\ndef train():\n    os.makedirs('out')\n"
            "    open('out/weights', 'wb').write(b'\\r\\n\\x1a' * 1000)\n    print('trained')\n"
        )
        command = ("-y", "run", "-p", "mistgpu", "--transfer", "sftp", "--results", "out", "--folder")
        found = require(
            run(self.user, *command, self.user.tell_path(project), "--", "python3", "train.py"),
            words=("trained", "exit code 0", "net cost"),
        )
        assert (project / "out" / "weights").read_bytes() == b"\r\n\x1a" * 1000, found.err
        assert not list(project.rglob(".gpurent-part"))
        return "uploaded, run, downloaded, released, with its receipt"

    def rent(self) -> str:
        self.lease = str(run(self.user, "-y", "rent", "-p", "mistgpu", "--json").data["id"])
        if not self.is_short:
            assert [row["id"] for row in run(self.user, "ls", "--json").data] == [self.lease]
        return "and listed"

    def push(self) -> str:
        """W4: permissions on the machine; then nothing is sent again."""
        folder = self.user.folder / "code"
        folder.mkdir()
        (folder / "run.sh").write_bytes(b"#!/bin/sh\necho ran\n")
        (folder / "data.txt").write_bytes(b"a\r\nb\n")
        (folder / "tool").write_bytes(b"\x7fELF")
        (folder / "name \u5b57.txt").write_bytes(b"x")
        make_git_index(folder, "tool")
        push = ("push", self.lease, self.user.tell_path(folder), "--transfer", "sftp", "--json")
        assert run(self.user, *push).data["sent"] > 0
        assert run(self.user, *push).data["sent"] == 0
        found = require(run(self.user, "exec", self.lease, "--", "stat -c '%a %n' code code/*; code/run.sh"))
        lines = [line.split(" ", 1) for line in found.out.splitlines() if " " in line]
        modes = {name: mode for mode, name in lines}
        assert modes == {
            "code": "755", "code/run.sh": "755", "code/data.txt": "644", "code/tool": "755",
            "code/name \u5b57.txt": "644",
        }, found.out  # fmt: skip
        assert found.out.endswith("ran\n")
        return "644, 755 for #! and what git knows; the second time nothing was sent"

    def pull(self) -> str:
        """W1, W2, W3: hostile names are left out and told, and the rest arrives."""
        require(run(self.user, "exec", self.lease, "--", HOSTILE))
        target = self.user.folder / "pulled"
        target.mkdir()
        pull = (
            "pull",
            self.lease,
            "out",
            "--to",
            self.user.tell_path(target),
            "--transfer",
            "sftp",
            "--json",
        )
        found = require(run(self.user, *pull))
        arrived = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
        assert "out/deep/good.txt" in arrived, arrived
        assert len(arrived & {"out/cs/Case", "out/cs/case"}) == 1, arrived
        assert not list(self.user.folder.rglob("*escaped*"))
        usual = {"out/deep/good.txt", "out/.bashrc", "out/inside", "left-out.tar"}
        assert arrived - usual <= {"out/cs/Case", "out/cs/case"}, arrived
        told = {item["name"] for item in found.data["skipped"]}
        assert len(told) >= LEFT_OUT, told
        assert len({"out/cs/Case", "out/cs/case"} & told) == 1, told
        return f"{len(told)} names left out and told, the rest arrived"

    def use_shell(self) -> str:
        done = run(self.user, "ssh", self.lease, input_text="echo from $USER; exit 7\n")
        assert done.code == 7, done
        assert "from " in done.out
        return "with its exit code"

    def read_logs(self) -> str:
        require(run(self.user, "start", self.lease, "--name", "night", "--", "echo \u597d; exit 3"))
        found = run(self.user, "logs", self.lease, "night", "-f")
        assert (found.code, found.out) == (3, "\u597d\n"), found
        return "followed to the job's exit code"

    def export(self) -> str:
        target = self.user.folder / "ssh_config"
        export = ("export", "openssh", self.lease, "-o", self.user.tell_path(target))
        require(run(self.user, *export))
        text = target.read_text("utf-8")
        assert "Host " in text, text
        assert self.lease in text, text
        if not self.is_short:
            require(run(self.user, "export", "winscp", self.lease))
        return "ssh and WinSCP"

    def guard(self) -> str:
        require(run(self.user, "watch", "--once", "--json"))
        shown = require(run(self.user, "watch", "install", "--print"))
        check_task(shown.out)
        refused = require(run(self.user, "watch", "install", "--as", "systemd"), 2, ["--as task"])
        assert "systemd" in refused.err
        if self.tasks is None:
            return "XML checked; systemd refused"
        task = self.tasks / TASK_NAME
        require(run(self.user, "watch", "install"), words=["every five minutes"])
        kept = task.read_text("utf-8-sig")  # Wine keeps the settings, and nothing of what is run
        assert "<StartWhenAvailable>true<" in kept, kept
        assert "<MultipleInstancesPolicy>IgnoreNew<" in kept, kept
        log = self.user.home / "watch.log"
        assert not log.exists()
        require(run_python(self.user, "-c", RUN_TASK, read_task_command(shown.out)))
        assert log.exists(), "the task's program has run, with its output in the log"
        require(run(self.user, "watch", "uninstall"), words=["Removed"])
        assert not task.exists()
        return "XML checked, registered, its program run, removed; systemd refused"

    def meet_at_lock(self) -> str:
        locks = str(self.user.home / "locks") if os.sep in str(self.user.tell_path(Path("/x"))) else ""
        place = locks or self.user.environment["GPURENT_HOME"] + r"\locks"
        with running_python(self.user, "-c", LOCK_HOLDER, place, self.lease) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline().strip() == b"held"
            busy = run(self.user, "-y", "release", self.lease)
            assert busy.code != 0, busy
            assert "in use" in busy.err, busy
        return "the second one says who has it"

    def speak(self) -> str:
        """W6, W8: outputs are UTF-8, whatever the code page is; the language is Windows' own."""
        assert "\u673a\u5668" in require(run(self.user, "--lang", "zh", "--help")).out
        if not self.is_short:
            require(run(self.user, "completion", "powershell"), words=["Register-ArgumentCompleter"])
        words = {
            "_GPURENT_COMPLETE": "powershell_complete",
            "COMP_WORDS": "gpurent rele",
            "COMP_CWORD": "rele",
        }
        assert run(self.user, **words).out.startswith("release\t")
        return "UTF-8, completion in PowerShell"

    def refuse_sandbox(self) -> str:
        for command in (("sandbox", "up"),) if self.is_short else (("sandbox", "up"), ("demo",)):
            found = require(run(self.user, *command), 2, ["the sandbox needs Linux"])
            assert "Traceback" not in found.err
        return "in one error"

    def release(self) -> str:
        require(run(self.user, "-y", "release", self.lease))
        if not self.is_short:
            require(run(self.user, "receipts", self.lease), words=["net cost"])
            assert run(self.user, "ls", "--json").data == []
        return "with its receipt"

    def use_turbo(self) -> str:
        folder = self.user.folder / "code"
        found = run(self.user, "push", self.lease, self.user.tell_path(folder), "--transfer", "turbo")
        assert found.code != 0
        assert "turbo does not work on Windows" in found.err, found
        return "says that it does not work here"


STEPS: dict[str, Callable[[Journey], str]] = {
    "login": Journey.log_in,
    "offers": Journey.list_offers,
    "run by sftp": Journey.run_trip,
    "rent": Journey.rent,
    "push": Journey.push,
    "turbo": Journey.use_turbo,
    "pull of hostile and clashing names": Journey.pull,
    "ssh": Journey.use_shell,
    "logs": Journey.read_logs,
    "export": Journey.export,
    "Task Scheduler": Journey.guard,
    "two processes at one lock": Journey.meet_at_lock,
    "language and shell": Journey.speak,
    "sandbox": Journey.refuse_sandbox,
    "release": Journey.release,
}


LEFT_TO_NIGHT = ("logs", "export")


def make_git_index(folder: Path, program: str) -> None:
    """Make ``folder`` a working tree whose index has all its files, ``program`` as executable; nothing without git."""
    if shutil.which("git") is None:
        (folder / program).write_bytes(b"#!" + (folder / program).read_bytes())
        return
    for arguments in (("init", "-q"), ("add", "."), ("update-index", "--chmod=+x", program)):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def read_task_command(text: str) -> str:
    """Return the command line of a task."""
    run = etree.fromstring(text.partition("?>")[2]).find(f"{TASK_SPACE}Actions/{TASK_SPACE}Exec")
    assert run is not None
    command, arguments = run.findtext(f"{TASK_SPACE}Command"), run.findtext(f"{TASK_SPACE}Arguments")
    return f'"{command}" {arguments}'


def check_task(text: str) -> None:
    """Check a task as Task Scheduler's own schema has it."""
    task = etree.fromstring(text.partition("?>")[2])
    assert task.tag == f"{TASK_SPACE}Task"
    parts = [str(one.tag).removeprefix(TASK_SPACE) for one in task]
    assert parts == ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]

    def read(path: str) -> str | None:
        return task.findtext("/".join(f"{TASK_SPACE}{part}" for part in path.split("/")))

    assert read("Triggers/TimeTrigger/Repetition/Interval") == "PT5M"
    assert read("Triggers/LogonTrigger/Repetition/Interval") == "PT5M"
    assert read("Settings/DisallowStartIfOnBatteries") == "false"
    assert read("Settings/StopIfGoingOnBatteries") == "false"
    assert read("Settings/StartWhenAvailable") == "true"
    assert read("Settings/MultipleInstancesPolicy") == "IgnoreNew"
    assert read("Principals/Principal/LogonType") == "InteractiveToken"
    assert read("Actions/Exec/Command")
    assert "watch" in (read("Actions/Exec/Arguments") or "")
