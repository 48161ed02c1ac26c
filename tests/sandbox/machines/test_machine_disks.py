"""Files: SFTP, what a reboot keeps, what erasing the disk deletes, a full disk."""

from pathlib import Path

import asyncssh
import pytest

from gpurent.testing.sandbox.machines import DiskInUse
from tests.sandbox.machines.driver_fixture import DriverFixture, MakeLab

DISK_BYTES = 2_000_000


async def test_sftp_and_shell_see_the_same_files(driver_fixture: DriverFixture, tmp_path: Path) -> None:
    machine = await driver_fixture.boot()
    (tmp_path / "train.py").write_text("print('hi')\n")
    async with driver_fixture.open_connection(machine) as connection, connection.start_sftp_client() as sftp:
        assert await sftp.realpath(".") == machine.home
        await sftp.mkdir("code")
        await sftp.put(tmp_path / "train.py", "code/train.py")
        done = await connection.run(f"cat {machine.home}/code/train.py; echo made > code/out")
        assert done.stdout == "print('hi')\n"
        await sftp.get(f"{machine.home}/code/out", tmp_path / "out")
        await sftp.posix_rename("code/out", "code/kept")
        assert set(await sftp.listdir("code")) - {".", ".."} == {"train.py", "kept"}
    assert (tmp_path / "out").read_text() == "made\n"


async def test_a_reboot_keeps_files_and_ends_processes(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    await driver_fixture.read_output(machine, "echo kept > file; screen -dmS job sleep 600")
    await driver_fixture.driver.kill(machine.id)
    again = await driver_fixture.boot(user="root")
    assert await driver_fixture.read_output(again, "cat file") == "kept\n"
    assert "job" not in (await driver_fixture.run_command(again, "screen -ls")).stdout


async def test_another_driver_finds_the_same_disks(make_driver_fixture: MakeLab) -> None:
    first, second = await make_driver_fixture(), await make_driver_fixture()
    machine = await first.boot()
    await first.read_output(machine, "echo kept > file")
    with pytest.raises(DiskInUse):
        await second.boot()
    await first.driver.close()
    assert await second.read_output(await second.boot(), "cat file") == "kept\n"


async def test_two_machines_cannot_share_a_disk(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    with pytest.raises(DiskInUse):
        await driver_fixture.boot()
    with pytest.raises(DiskInUse):
        await driver_fixture.driver.delete_disk(machine.spec.data)
    assert await driver_fixture.read_output(machine, "echo unharmed") == "unharmed\n"


async def test_an_erased_disk_is_empty(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    await driver_fixture.read_output(machine, "mkdir -p deep/er; echo x > deep/er/file; chmod 0 deep/er deep")
    await driver_fixture.driver.kill(machine.id)
    await driver_fixture.driver.delete_disk(machine.spec.data)
    await driver_fixture.driver.delete_disk(machine.spec.data)
    again = await driver_fixture.boot()
    assert again.host_key != machine.host_key
    assert await driver_fixture.read_output(again, "ls") == ""


async def test_a_full_disk_refuses_over_sftp(driver_fixture: DriverFixture, tmp_path: Path) -> None:
    machine = await driver_fixture.boot(disk_bytes=DISK_BYTES)
    (tmp_path / "fits").write_bytes(b"x" * 500_000)
    (tmp_path / "big").write_bytes(b"x" * 2 * DISK_BYTES)
    async with driver_fixture.open_connection(machine) as connection, connection.start_sftp_client() as sftp:
        await sftp.put(tmp_path / "fits", "fits")
        with pytest.raises(asyncssh.SFTPError):
            await sftp.put(tmp_path / "big", "big")
        await sftp.remove("big")
        await sftp.put(tmp_path / "fits", "again")
        assert (await sftp.stat("again")).size == 500_000


async def test_a_full_disk_refuses_the_shell_and_keeps_its_files(driver_fixture: DriverFixture) -> None:
    if driver_fixture.driver.name == "embedded":
        pytest.skip("nothing limits the shell of an embedded machine")
    machine = await driver_fixture.boot(disk_bytes=DISK_BYTES)
    done = await driver_fixture.run_command(
        machine, f"echo kept > file; head -c {2 * DISK_BYTES} /dev/zero > big"
    )
    assert done.exit_status != 0
    assert "No space left on device" in done.stderr
    await driver_fixture.read_output(machine, "rm big; ln -s file link; echo more > /data/more")
    await driver_fixture.driver.kill(machine.id)
    again = await driver_fixture.boot(disk_bytes=DISK_BYTES)
    assert await driver_fixture.read_output(again, "cat link /data/more; ls") == "kept\nmore\nfile\nlink\n"
