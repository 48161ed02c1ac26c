"""What survives a dropped connection, what ends with the machine, and how a hung machine behaves."""

import asyncio
import contextlib
import signal

import asyncssh
import pytest

from gpurent.testing.sandbox.machines import BootedMachine
from tests.sandbox.machines.driver_fixture import DriverFixture, Eventually, ProcessMark

COUNTER = "i=0; while sleep 0.05; do i=$((i+1)); echo $i >> ~/ticks; done"
START_COMMANDS = {
    "screen": f"screen -dmS job bash -c '{COUNTER}'",
    "tmux": f'tmux new-session -d -s job "{COUNTER.replace("$", chr(92) + "$")}"',
}
LIST_COMMANDS = {"screen": "screen -ls | grep -c job", "tmux": "tmux ls | grep -c job"}


async def read_ticks(driver_fixture: DriverFixture, machine: BootedMachine) -> int:
    return int(
        await driver_fixture.read_output(
            machine, "while ! [ -s ~/ticks ]; do sleep 0.02; done; tail -n 1 ~/ticks"
        )
    )


@pytest.mark.parametrize("backend_name", ["screen", "tmux"])
async def test_a_detached_session_survives_a_cut(driver_fixture: DriverFixture, backend_name: str) -> None:
    machine = await driver_fixture.boot()
    connection = await driver_fixture.connect(machine)
    await connection.run(START_COMMANDS[backend_name], check=True)
    before = await read_ticks(driver_fixture, machine)
    assert await driver_fixture.driver.cut_connections(machine.id) >= 1
    with contextlib.suppress(asyncssh.Error, OSError):
        await asyncio.wait_for(connection.wait_closed(), 5)
    assert (await driver_fixture.read_output(machine, LIST_COMMANDS[backend_name])).strip() == "1"
    await asyncio.sleep(0.15)
    assert await read_ticks(driver_fixture, machine) > before
    await driver_fixture.driver.kill(machine.id)


async def test_a_cut_is_abrupt(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    connection = await driver_fixture.connect(machine)
    process = await connection.create_process("echo ready; sleep 60")
    await process.stdout.readline()
    assert await driver_fixture.driver.cut_connections(machine.id) == 1
    assert (await asyncio.wait_for(process.wait(), 5)).exit_status is None
    await connection.wait_closed()
    assert await driver_fixture.driver.cut_connections(machine.id) == 0


async def test_a_foreground_job_ends_with_its_connection(
    driver_fixture: DriverFixture, process_mark: ProcessMark, eventually: Eventually
) -> None:
    machine = await driver_fixture.boot()
    connection = await driver_fixture.connect(machine)
    await connection.create_process(f"exec -a {process_mark.word} sleep 600", term_type="xterm")
    await eventually(process_mark.list_alive)
    await driver_fixture.driver.cut_connections(machine.id)
    await eventually(lambda: not process_mark.list_alive())
    await connection.wait_closed()


async def test_signals_that_the_sandbox_ignores_work_on_its_machines(driver_fixture: DriverFixture) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        machine = await driver_fixture.boot()
    finally:
        signal.signal(signal.SIGHUP, before)
    done = await driver_fixture.run_command(machine, "kill -HUP $$; echo survived")
    assert (done.exit_status, done.stdout) == (-1, "")


async def test_nothing_survives_the_machine(
    driver_fixture: DriverFixture, process_mark: ProcessMark, eventually: Eventually
) -> None:
    machine = await driver_fixture.boot()
    word = process_mark.word
    await driver_fixture.read_output(
        machine,
        f"screen -dmS a bash -c 'exec -a {word} sleep 600'\n"
        f"tmux new-session -d -s b 'exec bash -c \"exec -a {word} sleep 600\"'\n"
        f"env -i setsid setsid bash -c 'exec -a {word} sleep 600' >/dev/null 2>&1 </dev/null &\n"
        f"nohup bash -c 'trap \"\" TERM HUP; exec -a {word} sleep 600' >/dev/null 2>&1 </dev/null &\n",
    )
    await eventually(lambda: len(process_mark.list_alive()) == 4)
    inside = driver_fixture.driver.list_processes(machine.id)
    assert set(process_mark.list_alive()) <= set(inside)
    await driver_fixture.driver.kill(machine.id)
    assert process_mark.list_alive() == []
    assert driver_fixture.driver.list_processes(machine.id) == []
    assert not machine.alive


async def test_the_client_sees_a_lost_connection_and_no_exit_status(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    connection = await driver_fixture.connect(machine)
    process = await connection.create_process("echo ready; sleep 60")
    await process.stdout.readline()
    await driver_fixture.driver.kill(machine.id)
    done = await asyncio.wait_for(process.wait(), 5)
    assert done.exit_status is None
    assert done.exit_signal is None
    await connection.wait_closed()
    with pytest.raises(OSError, match=r".*"):
        await driver_fixture.connect(machine)


async def test_kill_is_idempotent_and_may_be_called_twice_at_once(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    await asyncio.gather(driver_fixture.driver.kill(machine.id), driver_fixture.driver.kill(machine.id))
    await driver_fixture.driver.kill(machine.id)
    await driver_fixture.driver.kill("never seen")
    await driver_fixture.driver.freeze("never seen", True)
    assert await driver_fixture.driver.cut_connections("never seen") == 0


async def test_a_frozen_machine_answers_nothing_and_then_goes_on(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    async with driver_fixture.open_connection(machine) as connection:
        await connection.run(START_COMMANDS["screen"], check=True)
        await read_ticks(driver_fixture, machine)
        await driver_fixture.driver.freeze(machine.id, True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(driver_fixture.connect(machine), 0.3)
        late = asyncio.create_task(connection.run("tail -n 1 ticks"))
        await asyncio.sleep(0.2)
        assert not late.done()
        await driver_fixture.driver.freeze(machine.id, False)
        seen = int(str((await asyncio.wait_for(late, 10)).stdout))
        await asyncio.sleep(0.15)
        assert await read_ticks(driver_fixture, machine) > seen


async def test_a_frozen_machine_can_be_killed(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    await driver_fixture.driver.freeze(machine.id, True)
    await asyncio.wait_for(driver_fixture.driver.kill(machine.id), 5)
    assert driver_fixture.driver.list_processes(machine.id) == []


async def test_fault_plan_cuts_the_connections_of_one_machine(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    machine.proxy.plan = type(machine.proxy.plan)(cut_download_after=2000, times=1)
    with pytest.raises((asyncssh.ConnectionLost, OSError)):
        await driver_fixture.read_output(machine, "head -c 100000 /dev/zero")
    assert await driver_fixture.read_output(machine, "echo back") == "back\n"
