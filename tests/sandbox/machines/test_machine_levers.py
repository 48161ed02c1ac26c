"""What a tester can do to a machine, with every driver."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest
from attrs import evolve

from gpurent.errors import UsageError
from gpurent.testing.sandbox.machine_levers import MachineLevers
from tests.sandbox.machines.driver_fixture import DriverFixture

DISK_BYTES = 4_000_000


async def test_a_refused_machine_keeps_its_connections(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    levers = MachineLevers(driver_fixture.driver)
    async with driver_fixture.open_connection(machine) as connection:
        await levers.pull("refuse", str(machine.port))
        with pytest.raises(ConnectionRefusedError):
            await driver_fixture.connect(machine)
        assert (await connection.run("echo open")).stdout == "open\n"
        assert levers.list_machines()[0]["refused"]
        await levers.pull("refuse", machine.spec.hostname, off=True)
    assert await driver_fixture.read_output(machine, "echo back") == "back\n"


async def test_a_frozen_machine_hangs(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    levers = MachineLevers(driver_fixture.driver)
    await levers.pull("freeze", machine.id)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(driver_fixture.connect(machine), 0.3)
    assert levers.list_machines()[0]["frozen"]
    await levers.pull("freeze", machine.id, off=True)
    assert await driver_fixture.read_output(machine, "echo back") == "back\n"


async def test_a_new_host_key_cuts_connections_and_keeps_the_rest(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    await driver_fixture.read_output(machine, "echo kept > file; screen -dmS job sleep 600")
    old_key = machine.host_key
    async with driver_fixture.open_connection(machine) as connection:
        await MachineLevers(driver_fixture.driver).pull("rekey", machine.spec.data)
        await asyncio.wait_for(connection.wait_closed(), 10)
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await driver_fixture.connect(evolve(machine, host_key=old_key))
    assert machine.host_key != old_key
    output = await driver_fixture.read_output(machine, "cat file; screen -ls | grep -c job")
    assert output.split() == ["kept", "1"]
    await driver_fixture.driver.kill(machine.id)
    again = await driver_fixture.boot()
    assert again.host_key == machine.host_key


FIND = "for name in screen tar python3; do command -v $name || echo none; done"


async def test_hidden_programs(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    levers = MachineLevers(driver_fixture.driver)
    with pytest.raises(UsageError, match="no program 'nosuch'"):
        await levers.pull("hide", machine.id, "nosuch")
    await levers.pull("hide", machine.id, "screen")
    await levers.pull("hide", machine.id, "python3")
    await levers.pull("hide", machine.id, "python3")
    for shell in ("sh -c", "bash -lc"):
        found = (await driver_fixture.read_output(machine, f"{shell} '{FIND}'")).split()
        assert [name == "none" for name in found] == [True, False, True], found
    assert levers.list_machines()[0]["hidden"] == ["python3", "screen"]
    await levers.pull("hide", machine.id, "python3", off=True)
    assert await driver_fixture.read_output(machine, "python3 -c 'print(1)'") == "1\n"
    await driver_fixture.read_output(machine, "apt-get install -y screen")
    assert await driver_fixture.read_output(machine, "command -v screen")


async def test_a_full_disk(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(disk_bytes=DISK_BYTES)
    levers = MachineLevers(driver_fixture.driver)
    await levers.pull("fill", machine.id)
    assert levers.list_machines()[0]["full"]
    async with driver_fixture.open_connection(machine) as connection, connection.start_sftp_client() as sftp:
        for _attempt in range(2):
            with pytest.raises(asyncssh.SFTPError):
                async with sftp.open("new", "wb") as file:
                    await file.write(b"x" * 100_000)
        if driver_fixture.driver.name == "bwrap":
            done = await connection.run("echo x > ~/other && cat ~/other")
            assert done.exit_status != 0
        await levers.pull("fill", machine.id, off=True)
        async with sftp.open("new", "wb") as file:
            await file.write(b"x" * 100_000)


async def test_a_disk_without_a_size(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    if driver_fixture.driver.name == "bwrap":
        with pytest.raises(UsageError, match="cannot be filled"):
            await driver_fixture.driver.fill_disk(machine.id, True)
    else:
        await driver_fixture.driver.fill_disk(machine.id, True)


async def test_a_killed_machine_is_no_longer_found(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    levers = MachineLevers(driver_fixture.driver)
    await levers.pull("kill", machine.id)
    assert list(levers.list_machines()) == []
    with pytest.raises(UsageError, match=f"no machine is called {machine.id}"):
        await levers.pull("kill", machine.id)
    first, second = await driver_fixture.boot(data="a"), await driver_fixture.boot(data="b")
    with pytest.raises(UsageError, match="several machines"):
        await levers.pull("kill", first.spec.hostname)
    await levers.pull("kill", "b")
    assert [found["id"] for found in levers.list_machines()] == [first.id]
    assert not second.alive
