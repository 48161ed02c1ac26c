"""Files: SFTP, what a reboot keeps, what an erased disk forgets, a full disk."""

from pathlib import Path

import asyncssh
import pytest

from gpurent.testing.sandbox.machines import DiskInUse
from tests.sandbox.machines.lab import Lab, MakeLab

SIZE = 2_000_000


async def test_sftp_and_shell_see_the_same_files(lab: Lab, tmp_path: Path) -> None:
    machine = await lab.boot()
    (tmp_path / "train.py").write_text("print('hi')\n")
    async with lab.login(machine) as connection, connection.start_sftp_client() as sftp:
        assert await sftp.realpath(".") == machine.home
        await sftp.mkdir("code")
        await sftp.put(tmp_path / "train.py", "code/train.py")
        done = await connection.run(f"cat {machine.home}/code/train.py; echo made > code/out")
        assert done.stdout == "print('hi')\n"
        await sftp.get(f"{machine.home}/code/out", tmp_path / "out")
        await sftp.posix_rename("code/out", "code/kept")
        assert set(await sftp.listdir("code")) - {".", ".."} == {"train.py", "kept"}
    assert (tmp_path / "out").read_text() == "made\n"


async def test_a_reboot_keeps_files_and_ends_processes(lab: Lab) -> None:
    machine = await lab.boot()
    await lab.output(machine, "echo kept > file; screen -dmS job sleep 600")
    await lab.driver.kill(machine.id)
    again = await lab.boot(user="root")
    assert await lab.output(again, "cat file") == "kept\n"
    assert "job" not in (await lab.run(again, "screen -ls")).stdout


async def test_another_driver_finds_the_same_disks(make_lab: MakeLab) -> None:
    first, second = await make_lab(), await make_lab()
    machine = await first.boot()
    await first.output(machine, "echo kept > file")
    with pytest.raises(DiskInUse):
        await second.boot()
    await first.driver.close()
    assert await second.output(await second.boot(), "cat file") == "kept\n"


async def test_two_machines_cannot_share_a_disk(lab: Lab) -> None:
    machine = await lab.boot()
    with pytest.raises(DiskInUse):
        await lab.boot()
    with pytest.raises(DiskInUse):
        await lab.driver.erase(machine.spec.data)
    assert await lab.output(machine, "echo unharmed") == "unharmed\n"


async def test_an_erased_disk_is_empty(lab: Lab) -> None:
    machine = await lab.boot()
    await lab.output(machine, "mkdir -p deep/er; echo x > deep/er/file; chmod 0 deep/er deep")
    await lab.driver.kill(machine.id)
    await lab.driver.erase(machine.spec.data)
    await lab.driver.erase(machine.spec.data)
    again = await lab.boot()
    assert again.host_key != machine.host_key
    assert await lab.output(again, "ls") == ""


async def test_a_full_disk_refuses_over_sftp(lab: Lab, tmp_path: Path) -> None:
    machine = await lab.boot(disk_bytes=SIZE)
    (tmp_path / "fits").write_bytes(b"x" * 500_000)
    (tmp_path / "big").write_bytes(b"x" * 2 * SIZE)
    async with lab.login(machine) as connection, connection.start_sftp_client() as sftp:
        await sftp.put(tmp_path / "fits", "fits")
        with pytest.raises(asyncssh.SFTPError):
            await sftp.put(tmp_path / "big", "big")
        await sftp.remove("big")
        await sftp.put(tmp_path / "fits", "again")
        assert (await sftp.stat("again")).size == 500_000


async def test_a_full_disk_refuses_the_shell_and_keeps_its_files(lab: Lab) -> None:
    if lab.driver.name == "embedded":
        pytest.skip("nothing limits the shell of an embedded machine")
    machine = await lab.boot(disk_bytes=SIZE)
    done = await lab.run(machine, f"echo kept > file; head -c {2 * SIZE} /dev/zero > big")
    assert done.exit_status != 0
    assert "No space left on device" in done.stderr
    await lab.output(machine, "rm big; ln -s file link; echo more > /data/more")
    await lab.driver.kill(machine.id)
    again = await lab.boot(disk_bytes=SIZE)
    assert await lab.output(again, "cat link /data/more; ls") == "kept\nmore\nfile\nlink\n"
