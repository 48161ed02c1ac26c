"""Drivers as a whole: choosing one, many machines, an abrupt end, any user."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpurent.errors import UsageError
from gpurent.testing.sandbox import machines
from gpurent.testing.sandbox.machines import DriverName, MachineSpec, select_driver
from tests.sandbox.machines.driver_fixture import DriverFixture, Eventually, MakeLab

MACHINE_COUNT = 20
DRIVER_SCRIPT = """
import asyncio, contextlib, sys
from pathlib import Path
import asyncssh
import psutil
from gpurent.testing.sandbox.machines import MachineSpec, select_driver

def jobs(pids):
    found = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += psutil.Process(pid).name() == "sleep"
    return found

async def main(name, root, mode):
    driver = await select_driver(name, Path(root))
    machine = await driver.boot(MachineSpec(user="root", password="pw", hostname="gpu28", data="x"))
    known = f"[{machine.host}]:{machine.port} {machine.host_key}".encode()
    login = {"username": "root", "password": "pw", "client_keys": None, "config": None}
    async with asyncssh.connect(machine.host, machine.port, known_hosts=known, **login) as connection:
        await connection.run("screen -dmS job sleep 600; env -i setsid sleep 60 >/dev/null 2>&1 &", check=True)
        done = await connection.run("echo $USER; tty; screen -ls | grep -c job", term_type="xterm")
        while jobs(driver.list_processes(machine.id)) < 2:  # what was started in the background may not be there yet
            await asyncio.sleep(0.05)
        print(driver.name, *done.stdout.split(), *driver.list_processes(machine.id), flush=True)
    if mode == "hang":
        await asyncio.sleep(60)
    await driver.close()

asyncio.run(main(*sys.argv[1:]))
"""


def make_environment() -> dict[str, str]:
    """Return an environment in which a bare interpreter can import what we import."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ":".join(path for path in sys.path if path),
        "LANG": "C.UTF-8",
    }


def list_living(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


async def test_many_machines_leave_nothing_behind(driver_fixture: DriverFixture) -> None:
    me = psutil.Process()
    one = await driver_fixture.boot(data="warm")
    await driver_fixture.read_output(one, "true")
    await driver_fixture.driver.kill(one.id)
    before = me.num_fds()
    booted = await asyncio.gather(*(driver_fixture.boot(data=f"disk {n}") for n in range(MACHINE_COUNT)))
    assert len({machine.port for machine in booted}) == MACHINE_COUNT
    await asyncio.gather(
        *(driver_fixture.read_output(machine, "screen -dmS job sleep 600") for machine in booted[:5])
    )
    pids = [pid for machine in booted for pid in driver_fixture.driver.list_processes(machine.id)]
    assert len(list_living(pids)) >= MACHINE_COUNT
    await asyncio.gather(*(driver_fixture.driver.kill(machine.id) for machine in booted))
    await asyncio.sleep(0.05)
    assert list_living(pids) == []
    assert me.num_fds() <= before
    assert [child for child in me.children() if child.status() == psutil.STATUS_ZOMBIE] == []


async def test_close_ends_all_machines_and_leaves_only_disks(
    driver_fixture: DriverFixture, tmp_path: Path
) -> None:
    booted = [await driver_fixture.boot(data=f"disk {n}") for n in range(3)]
    pids = [pid for machine in booted for pid in driver_fixture.driver.list_processes(machine.id)]
    await driver_fixture.driver.close()
    assert list_living(pids) == []
    assert {path.name for path in (tmp_path / "sandbox").iterdir()} <= {"disks", "run", "farms"}
    with pytest.raises(RuntimeError):
        await driver_fixture.boot()


async def test_machines_die_with_a_killed_driver(
    driver_name: DriverName, tmp_path: Path, eventually: Eventually
) -> None:
    command = [sys.executable, "-c", DRIVER_SCRIPT, driver_name, str(tmp_path / "sandbox"), "hang"]
    process = await asyncio.create_subprocess_exec(*command, env=make_environment(), stdout=subprocess.PIPE)
    assert process.stdout
    try:
        words = (await process.stdout.readline()).split()
        pids = [int(word) for word in words[4:]]
        assert len(list_living(pids)) >= 3
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await eventually(lambda: not list_living(pids))
    again = await select_driver(driver_name, tmp_path / "sandbox")
    await again.boot(MachineSpec(user="root", password="pw", hostname="gpu28", data="x"))
    await again.close()


BECOME_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PROBE = "import asyncssh, attrs, os, sys; sys.exit(not os.access(sys.executable, os.X_OK))"


def find_public_python() -> str | None:
    """Return an interpreter that any user may run and that can import what we can."""
    for name in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        probe = [*BECOME_NOBODY, name, "-c", PROBE]
        if subprocess.run(probe, env=make_environment(), capture_output=True, check=False).returncode == 0:
            return name
    return None


@pytest.mark.skipif(os.getuid() != 0, reason="all tests run as an ordinary user already")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_an_ordinary_user_can_do_the_same(driver_name: DriverName) -> None:
    python = find_public_python()
    if python is None:
        pytest.skip("no interpreter that another user may run has our packages")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, 65534, 65534)
        done = subprocess.run(
            [
                *BECOME_NOBODY,
                python,
                "-W",
                "error",
                "-c",
                DRIVER_SCRIPT,
                driver_name,
                str(Path(folder, "sandbox")),
                "end",
            ],
            env=make_environment(),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    name, user, tty, count, *pids = done.stdout.split()
    assert (name, user, count) == (driver_name, "root", "1")
    assert tty.startswith("/dev/pts/")
    assert list_living([int(pid) for pid in pids]) == []


async def test_auto_says_why_it_fell_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def trouble() -> str:
        return "user namespaces are not allowed"

    monkeypatch.setattr(machines.driver_selection, "find_bwrap_problem", trouble)
    monkeypatch.setattr(machines.driver_selection, "is_root", lambda: False)
    driver = await select_driver("auto", tmp_path / "a")
    assert (driver.name, driver.fallback_reason) == ("embedded", "user namespaces are not allowed")
    await driver.close()
    with pytest.raises(UsageError, match="user namespaces"):
        await select_driver("bwrap", tmp_path / "b")


@pytest.mark.bwrap
async def test_auto_prefers_bwrap(
    bwrap_problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines.driver_selection, "is_root", lambda: False)
    driver = await select_driver("auto", tmp_path)
    assert (driver.name, driver.fallback_reason) == (
        ("embedded", bwrap_problem) if bwrap_problem else ("bwrap", "")
    )
    await driver.close()


@pytest.mark.bwrap
async def test_bwrap_hides_the_host(
    bwrap_problem: str, make_driver_fixture: MakeLab, driver_name: DriverName, tmp_path: Path
) -> None:
    if driver_name != "bwrap":
        pytest.skip("an embedded machine hides nothing")
    (tmp_path / "secret").write_text("of the host")
    fixture = await make_driver_fixture()
    machine = await fixture.boot(user="root", hostname="iZuf69")
    listing = await fixture.read_output(
        machine, "ls / /home /tmp; cat /etc/hostname; ls -A ~; hostname; pgrep -c -u 1000 ."
    )
    *rest, count = listing.split()
    assert {"data", "usr", "iZuf69"} <= set(rest)
    assert not {"boot", "mnt", "srv", "media", tmp_path.parts[2]} & set(rest)
    assert int(count) < 10
    assert (await fixture.run_command(machine, f"cat {tmp_path}/secret")).exit_status == 1
    assert machine.home == "/root"


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": "a:b"},
        {"user": ""},
        {"hostname": "a b"},
        {"password": "a\nb"},
        {"data": ""},
        {"missing": ("../screen",)},
    ],
)
def test_invalid_machine_spec(wrong: dict[str, Any]) -> None:
    fine: dict[str, Any] = {"user": "mist", "password": "pw", "hostname": "h", "data": "d"}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MachineSpec(**(fine | wrong))
