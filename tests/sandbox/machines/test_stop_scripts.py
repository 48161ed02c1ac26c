"""Stop scripts inside the machine, callbacks outside it."""

import asyncio
import contextlib
from pathlib import Path

import asyncssh
import pytest

from gpurent.testing.sandbox.machines import BootedMachine, MachineSpec
from tests.sandbox.machines.driver_fixture import DriverFixture, Eventually


async def run_until_stopped(driver_fixture: DriverFixture, machine: BootedMachine, command: str) -> None:
    """Run something that ends the machine, so that the connection may break at any moment."""
    connection = await driver_fixture.connect(machine)
    with contextlib.suppress(asyncssh.Error, OSError):
        await asyncio.wait_for(connection.run(command), 10)
    with contextlib.suppress(asyncssh.Error, OSError):
        await connection.wait_closed()


@pytest.mark.parametrize("script", ["~/shutdown.sh", "/mistgpu/shutdown.sh"])
async def test_stop_script_notifies_the_provider_and_ends_the_machine(
    driver_fixture: DriverFixture, eventually: Eventually, script: str
) -> None:
    if driver_fixture.driver.name == "embedded" and script.startswith("/mistgpu"):
        pytest.skip("an embedded machine has the host's root folder")
    notified: list[str] = []
    seen = asyncio.Event()

    async def on_stop(machine_id: str) -> None:
        notified.append(machine_id)
        await seen.wait()

    machine = await driver_fixture.boot(on_stop, stop_scripts=(script,))
    async with driver_fixture.open_connection(machine) as connection:
        process = await connection.create_process(f"{script}; echo no")
        assert await process.stdout.readline() == "shutting down\n"
        await eventually(lambda: notified)
        assert machine.alive
        seen.set()
        with pytest.raises((asyncssh.Error, OSError)):  # the rest of the command does not run either
            await asyncio.wait_for(process.stdout.read(), 10)
    await eventually(lambda: not machine.alive)
    assert notified == [machine.id]


@pytest.mark.parametrize(
    "script", ["/usr/sbin/shutdown", "/sbin/halt", "/mist/../sbin/halt", "shutdown.sh", "~mist/x"]
)
def test_a_stop_script_never_stands_in_for_a_program_of_the_host(script: str) -> None:
    with pytest.raises(ValueError, match="stop_scripts"):
        MachineSpec(user="u", password="p", hostname="h", data="d", stop_scripts=(script,))


async def test_shutdown_commands_are_harmless_inside(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    found = await driver_fixture.read_output(
        machine, "command -v shutdown poweroff halt reboot; bash -lc 'command -v poweroff'"
    )
    assert all(Path(line).parts[-2:][0] == "bin" and "opt" in line for line in found.split())
    assert len(found.split()) == 5
    done = await driver_fixture.run_command(machine, f"PATH={Path(found.split()[0]).parent}; poweroff")
    assert (done.exit_status, machine.alive) == (1, True)


async def test_the_callback_may_kill_the_machine_itself(
    driver_fixture: DriverFixture, eventually: Eventually
) -> None:
    async def on_stop(machine_id: str) -> None:
        await driver_fixture.driver.kill(machine_id)

    machine = await driver_fixture.boot(on_stop, stop_scripts=("~/shutdown.sh",))
    await run_until_stopped(driver_fixture, machine, "./shutdown.sh & ./shutdown.sh & wait")
    await eventually(lambda: not driver_fixture.driver.list_processes(machine.id))


async def test_without_a_callback_the_machine_just_ends(
    driver_fixture: DriverFixture, eventually: Eventually
) -> None:
    machine = await driver_fixture.boot(stop_scripts=("~/shutdown.sh",))
    await run_until_stopped(driver_fixture, machine, "setsid ./shutdown.sh")
    await eventually(lambda: not machine.alive)


async def test_a_callback_that_fails_does_not_keep_the_machine_up(
    driver_fixture: DriverFixture, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_stop(machine_id: str) -> None:
        raise ValueError("a bug in a simulator")

    machine = await driver_fixture.boot(on_stop, stop_scripts=("~/shutdown.sh",))
    await run_until_stopped(driver_fixture, machine, "./shutdown.sh")
    await eventually(lambda: not machine.alive)
    assert "a bug in a simulator" in caplog.text


async def test_machine_whose_own_processes_die_is_cleaned_up(
    driver_fixture: DriverFixture, eventually: Eventually
) -> None:
    machine = await driver_fixture.boot()
    connection = await driver_fixture.connect(machine)
    parent = "$(pgrep -o sshd)" if driver_fixture.driver.name == "bwrap" else "$PPID"
    with contextlib.suppress(asyncssh.Error, OSError):
        await connection.run(f"kill -9 {parent}")
    await eventually(lambda: not machine.alive)
    await eventually(lambda: not driver_fixture.driver.list_processes(machine.id))
    with contextlib.suppress(asyncssh.Error, OSError):
        await connection.wait_closed()
    with pytest.raises((OSError, asyncssh.Error)):
        await driver_fixture.connect(machine)
    await driver_fixture.boot()
