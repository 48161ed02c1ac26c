"""What survives a cut line, what ends with the machine, and how a hung one behaves."""

import asyncio
import contextlib

import asyncssh
import pytest

from gpurent.testing.sandbox.machines import Machine
from tests.sandbox.machines.lab import Brand, Eventually, Lab

COUNTER = "i=0; while sleep 0.05; do i=$((i+1)); echo $i >> ~/ticks; done"
STARTS = {
    "screen": f"screen -dmS job bash -c '{COUNTER}'",
    "tmux": f'tmux new-session -d -s job "{COUNTER.replace("$", chr(92) + "$")}"',
}
LISTS = {"screen": "screen -ls | grep -c job", "tmux": "tmux ls | grep -c job"}


async def ticks(lab: Lab, machine: Machine) -> int:
    return int(await lab.output(machine, "while ! [ -s ~/ticks ]; do sleep 0.02; done; tail -n 1 ~/ticks"))


@pytest.mark.parametrize("keeper", ["screen", "tmux"])
async def test_a_detached_session_survives_a_cut(lab: Lab, keeper: str) -> None:
    machine = await lab.boot()
    connection = await lab.connect(machine)
    await connection.run(STARTS[keeper], check=True)
    before = await ticks(lab, machine)
    assert await lab.driver.cut(machine.id) >= 1
    with contextlib.suppress(asyncssh.Error, OSError):
        await asyncio.wait_for(connection.wait_closed(), 5)
    assert (await lab.output(machine, LISTS[keeper])).strip() == "1"
    await asyncio.sleep(0.15)
    assert await ticks(lab, machine) > before
    await lab.driver.kill(machine.id)


async def test_a_cut_is_abrupt(lab: Lab) -> None:
    machine = await lab.boot()
    connection = await lab.connect(machine)
    process = await connection.create_process("echo ready; sleep 60")
    await process.stdout.readline()
    assert await lab.driver.cut(machine.id) == 1
    assert (await asyncio.wait_for(process.wait(), 5)).exit_status is None
    await connection.wait_closed()
    assert await lab.driver.cut(machine.id) == 0


async def test_a_foreground_job_hangs_up_with_its_line(
    lab: Lab, brand: Brand, eventually: Eventually
) -> None:
    machine = await lab.boot()
    connection = await lab.connect(machine)
    await connection.create_process(f"exec -a {brand.word} sleep 600", term_type="xterm")
    await eventually(brand.alive)
    await lab.driver.cut(machine.id)
    await eventually(lambda: not brand.alive())
    await connection.wait_closed()


async def test_nothing_survives_the_machine(lab: Lab, brand: Brand, eventually: Eventually) -> None:
    machine = await lab.boot()
    word = brand.word
    await lab.output(
        machine,
        f"screen -dmS a bash -c 'exec -a {word} sleep 600'\n"
        f"tmux new-session -d -s b 'exec bash -c \"exec -a {word} sleep 600\"'\n"
        f"env -i setsid setsid bash -c 'exec -a {word} sleep 600' >/dev/null 2>&1 </dev/null &\n"
        f"nohup bash -c 'trap \"\" TERM HUP; exec -a {word} sleep 600' >/dev/null 2>&1 </dev/null &\n",
    )
    await eventually(lambda: len(brand.alive()) == 4)
    inside = lab.driver.processes(machine.id)
    assert set(brand.alive()) <= set(inside)
    await lab.driver.kill(machine.id)
    assert brand.alive() == []
    assert lab.driver.processes(machine.id) == []
    assert not machine.alive


async def test_the_client_sees_a_lost_line_and_no_farewell(lab: Lab) -> None:
    machine = await lab.boot()
    connection = await lab.connect(machine)
    process = await connection.create_process("echo ready; sleep 60")
    await process.stdout.readline()
    await lab.driver.kill(machine.id)
    done = await asyncio.wait_for(process.wait(), 5)
    assert done.exit_status is None
    assert done.exit_signal is None
    await connection.wait_closed()
    with pytest.raises(OSError, match=r".*"):
        await lab.connect(machine)


async def test_kill_is_idempotent_and_may_be_called_twice_at_once(lab: Lab) -> None:
    machine = await lab.boot()
    await asyncio.gather(lab.driver.kill(machine.id), lab.driver.kill(machine.id))
    await lab.driver.kill(machine.id)
    await lab.driver.kill("never seen")
    await lab.driver.freeze("never seen", True)
    assert await lab.driver.cut("never seen") == 0


async def test_a_frozen_machine_answers_nothing_and_then_goes_on(lab: Lab) -> None:
    machine = await lab.boot()
    async with lab.login(machine) as connection:
        await connection.run(STARTS["screen"], check=True)
        await ticks(lab, machine)
        await lab.driver.freeze(machine.id, True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lab.connect(machine), 0.3)
        late = asyncio.create_task(connection.run("tail -n 1 ticks"))
        await asyncio.sleep(0.2)
        assert not late.done()
        await lab.driver.freeze(machine.id, False)
        seen = int(str((await asyncio.wait_for(late, 10)).stdout))
        await asyncio.sleep(0.15)
        assert await ticks(lab, machine) > seen


async def test_a_frozen_machine_can_be_killed(lab: Lab) -> None:
    machine = await lab.boot()
    await lab.driver.freeze(machine.id, True)
    await asyncio.wait_for(lab.driver.kill(machine.id), 5)
    assert lab.driver.processes(machine.id) == []


async def test_a_fault_plan_cuts_the_wire_of_one_machine(lab: Lab) -> None:
    machine = await lab.boot()
    machine.line.plan = type(machine.line.plan)(cut_down=2000, times=1)
    with pytest.raises((asyncssh.ConnectionLost, OSError)):
        await lab.output(machine, "head -c 100000 /dev/zero")
    assert await lab.output(machine, "echo back") == "back\n"
