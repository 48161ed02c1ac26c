"""What programs that gpurent starts on this computer are given: nothing of the current folder, no secret."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gpurent import child_processes
from gpurent.cli.builtin import load_registry
from gpurent.composition.own_commands import make_own_environment, run_own_command
from gpurent.domain.secret import Secret
from gpurent.infra.platform.posix.system import open_in_browser, open_privately
from gpurent.testing.sandbox.client import SandboxClient
from tests.command_line import run_command
from tests.infra.vault_files import open_vault, scope
from tests.security.attacks import Adversary, Outcome, attack

# What other programs have set in the user's shell, and what gpurent itself is given there.
SECRETS = {
    "GPURENT_PASSPHRASE": "canary-passphrase",
    "GPURENT_IMAP_PASSWORD": "canary-mail",
    "GPURENT_MISTGPU_PASSWORD": "canary-login",
    "GPURENT_WEBHOOK_URL": "https://canary.example/hook",
    "AWS_SECRET_ACCESS_KEY": "canary-cloud",
}
DUMP = '#!/bin/sh\nprintf "%s\\n" "$0" "$@" >"{out}.argv"\npwd >"{out}.folder"\nenv >"{out}.env"\ncat >/dev/null\n'


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody else, in which the user's shell is; secrets in its environment. Returns its marker."""
    folder, marker = tmp_path / "repository", tmp_path / "executed"
    for name in ("gpurent", "asyncio", "json", "secrets"):
        package = folder / name
        package.mkdir(parents=True)
        for file in ("__init__.py", "__main__.py"):
            (package / file).write_text(f"open({str(marker)!r}, 'w').write({name!r})\n")
    (folder / "sitecustomize.py").write_text(f"open({str(marker)!r}, 'w').write('site')\n")
    for name in ("crontab", "xdg-open", "code", "ssh"):
        (folder / name).write_text(f"#!/bin/sh\necho {name} >{marker}\n")
        (folder / name).chmod(0o755)
    monkeypatch.chdir(folder)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPURENT_HOME", str(tmp_path / "state"))
    return marker


def make_dump_program(folder: Path, name: str) -> Path:
    """Return a program that writes down what it was given, beside itself."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(DUMP.format(out=path))
    path.chmod(0o755)
    return path


def read_dump(program: Path) -> tuple[str, str, str]:
    """Return the program's arguments, working folder and environment."""
    argv, folder, environment = (
        program.with_name(f"{program.name}.{part}") for part in ("argv", "folder", "env")
    )
    return argv.read_text(), folder.read_text().strip(), environment.read_text()


def assert_clean(environment: str) -> None:
    assert "canary" not in environment
    assert "PYTHON" not in environment


@attack(
    Adversary.REPOSITORY,
    "Python files beside the user (`secrets.py`, `gpurent/`) and PYTHONPATH, when `top` attaches",
    Outcome.HARMLESS,
    kind="S6",
)
def test_files_of_the_current_folder_are_not_run_by_an_attach(
    shell: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    assert run_own_command(load_registry(), "--version") == 0
    assert "gpurent" in capfd.readouterr().out
    assert not shell.exists()


@attack(
    Adversary.REPOSITORY,
    "the same, when `gpurent sandbox up` starts its process",
    Outcome.HARMLESS,
    kind="S6",
)
def test_files_of_the_current_folder_are_not_run_by_the_sandbox(shell: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("gpurent")
    root = tmp_path / "sandbox"
    options = ("--root", "../sandbox", "--driver", "embedded", "--set", "mistgpu.password=canary-set")
    try:
        done = subprocess.run(
            [program, "sandbox", "up", *options], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not shell.exists()
        found = SandboxClient.find_running(root)
        assert found is not None
        process = Path(f"/proc/{found.pid}")
        assert_clean((process / "environ").read_text())
        assert "canary" not in (process / "cmdline").read_text()
        assert str((process / "cwd").readlink()) == "/"
    finally:
        subprocess.run([program, "sandbox", "down", "--root", root], check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["systemd", "timer", "launchd", "cron"])
@attack(
    Adversary.REPOSITORY,
    "the same, when cron, systemd or launchd starts the guard",
    Outcome.HARMLESS,
    kind="S6",
)
def test_the_guard_starts_isolated_in_a_fixed_folder(shell: Path, tmp_path: Path, kind: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GPURENT_HOME": "state", **SECRETS}
    shown = run_command(
        *("watch", "install", "--as", kind, "--print"), environment=environment, folder=Path.cwd()
    )
    assert shown.code == 0, shown.err
    words = shlex.split(shown.out.replace("<string>", " ").replace("</string>", " "), comments=True)
    place = words.index("-m")
    assert words[place - 1] in ("-I", "-P")
    assert any(word.endswith(f"GPURENT_HOME={Path.cwd() / 'state'}") for word in words) or kind == "launchd"
    assert "canary" not in shown.out
    if kind == "cron":
        line = shown.out.removeprefix("*/5 * * * * ").replace("\\%", "%").replace("--once", "--help")
        bad = {**environment, "PYTHONPATH": str(Path.cwd()), "PYTHONSTARTUP": "secrets/__init__.py"}
        (Path.cwd() / "state").mkdir(mode=0o700)
        subprocess.run(["/bin/sh", "-c", line], env=bad, check=True)
        assert "--once" in (Path.cwd() / "state" / "watch.log").read_text()
        assert not shell.exists()
    else:
        assert "WorkingDirectory" in shown.out


@attack(
    Adversary.REPOSITORY,
    "a program beside the user (`crontab`, `xdg-open`, `code`, `ssh`) and a PATH with `.` first",
    Outcome.HARMLESS,
    kind="S6",
)
def test_a_program_of_the_current_folder_is_not_run(
    shell: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crontab = make_dump_program(tmp_path, "crontab")
    path = f".::{Path.cwd().name}/..:{crontab.parent}"
    monkeypatch.setenv("PATH", path)
    assert child_processes.find_program("crontab") == str(crontab)
    assert child_processes.find_program("ssh") is None
    assert child_processes.find_program("./ssh") is None
    assert child_processes.make_child_environment(())["PATH"] == str(crontab.parent)
    child_processes.run_program(["crontab"], environment={})
    with pytest.raises(FileNotFoundError):
        child_processes.start_program(["xdg-open", "x"], environment={})
    with pytest.raises(FileNotFoundError):
        child_processes.spawn_program(["ssh"], {}, (0, 1, 2))
    assert not shell.exists()


@attack(
    Adversary.LOCAL_USER,
    "the passphrase and other secrets of the user's shell, in the environment of crontab",
    Outcome.HARMLESS,
    kind="S15",
)
def test_crontab_gets_no_secret(shell: Path, tmp_path: Path) -> None:
    crontab = make_dump_program(tmp_path, "crontab")
    environment = {
        "PATH": f"{crontab.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        **SECRETS,
    }
    environment |= {"PYTHONPATH": str(Path.cwd()), "GPURENT_HOME": str(tmp_path / "state")}
    done = run_command("watch", "install", "--as", "cron", environment=environment, folder=Path.cwd())
    assert done.code == 0, done.err
    _argv, folder, given = read_dump(crontab)
    assert folder == "/"
    assert_clean(given)
    assert "LANG=C.UTF-8" in given


@attack(
    Adversary.LOCAL_USER,
    "the same, in the environment of the browser and all that it starts",
    Outcome.HARMLESS,
    kind="S15",
)
def test_the_browser_gets_no_secret(shell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = make_dump_program(tmp_path, "browser")
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    assert open_in_browser("https://acme.example/")
    argv, folder, given = read_dump(browser)
    assert argv.splitlines()[1:] == ["https://acme.example/"]
    assert folder == "/"
    assert_clean(given)
    assert "DISPLAY=:7" in given
    assert not shell.exists()


@attack(
    Adversary.LOCAL_USER,
    "the same, in the environment of `ssh` that the file transfer starts",
    Outcome.HARMLESS,
    kind="S15",
)
def test_ssh_gets_no_secret(shell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = make_dump_program(tmp_path, "ssh")
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    environment = child_processes.make_child_environment(("HOME",))
    with Path(os.devnull).open("r+b") as null:
        pipes = (null.fileno(), null.fileno(), null.fileno())
        pid = child_processes.spawn_program(["ssh", "-T"], environment, pipes)
        assert os.waitpid(pid, 0)[1] == 0
    argv, _folder, given = read_dump(ssh)
    assert argv.splitlines()[1:] == ["-T"]
    assert_clean(given)


@attack(
    Adversary.LOCAL_USER,
    "the same, in the environment of the gpurent that `top` starts; it still opens the vault without a question",
    Outcome.HARMLESS,
    kind="S15",
)
def test_gpurent_started_by_gpurent_gets_the_passphrase_by_a_pipe(
    shell: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    (state / "vault").mkdir(mode=0o700, parents=True)
    state.chmod(0o700)
    vault = open_vault(state / "vault", SECRETS["GPURENT_PASSPHRASE"])
    record = '{"account": "student", "token": "t", "expires_at": ""}'
    scope(vault, "logins").put("mistgpu", Secret(record))
    given: Mapping[str, str] = make_own_environment(load_registry(), os.environ)
    assert_clean(str(given))
    assert given["GPURENT_HOME"] == str(state)
    assert run_own_command(load_registry(), "--no-input", "whoami") == 0
    assert "student" in capfd.readouterr().out
    monkeypatch.delenv("GPURENT_PASSPHRASE")
    assert run_own_command(load_registry(), "--no-input", "whoami") == 4, "the pipe alone had opened it"
    assert not shell.exists()


def test_settings_that_are_no_secret_reach_gpurent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"GPURENT_MISTGPU_URL": "http://127.0.0.1:1", "GPURENT_HOME": "here", "GPURENT_LANG": "zh"}
    found = make_own_environment(load_registry(), {**own, "GPURENT_ODD": "x", "PATH": "/usr/bin"})
    assert found == {**own, "GPURENT_HOME": str(tmp_path / "here"), "PATH": "/usr/bin"}


@attack(
    Adversary.LOCAL_USER,
    "the notebook's token, on the command line of the browser",
    Outcome.HARMLESS,
    kind="S14",
)
def test_a_secret_url_is_opened_through_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, pages = make_dump_program(tmp_path, "browser"), tmp_path / "pages"
    monkeypatch.setenv("BROWSER", str(browser))
    url = 'http://127.0.0.1:8888/lab?token=canary&x="><script>'
    pages.mkdir(mode=0o700)
    killed = pages / f"open-{2**22 + 1}-0.html"
    killed.touch(mode=0o600)
    with open_privately(url, pages) as opened:
        assert opened
        (page,) = pages.iterdir()
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        text = page.read_text()
        assert "url=http://127.0.0.1:8888/lab?token=canary&amp;x=&quot;&gt;&lt;script&gt;" in text
        argv, _folder, given = read_dump(browser)
        assert argv.splitlines()[1:] == [page.as_uri()]
        assert "canary" not in argv + given
    assert list(pages.iterdir()) == [], "deleted, as is that of a process that was killed"


@attack(
    Adversary.LOCAL_USER,
    "a folder for that file which other users may enter",
    Outcome.REFUSED,
    kind="S14",
)
def test_a_private_page_needs_a_private_folder(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir(mode=0o755)
    with pytest.raises(Exception, match="accessible to other users"), open_privately("http://x/", pages):
        pass


def test_python_in_the_users_own_site_still_finds_gpurent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where gpurent was installed with `pip install --user`, `-I` would hide it."""
    import site

    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert child_processes.make_python_command("-c", "1")[1:-2] == ["-I"]
    (tmp_path / "gpurent-0.1.dist-info").mkdir()
    assert child_processes.make_python_command("-c", "1")[1:-2] == ["-E", "-P"]
    planted = tmp_path / "here"
    planted.mkdir()
    (planted / "json.py").write_text("raise SystemExit(3)")
    command = child_processes.make_python_command("-c", "import json")
    environment = {"PYTHONPATH": str(planted), "PATH": os.environ["PATH"]}
    assert child_processes.start_program(command, environment=environment, folder=planted).wait() == 0
    assert shutil.which(command[0]) == command[0]
