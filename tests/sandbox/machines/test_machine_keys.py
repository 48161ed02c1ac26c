"""Machines that accept only keys: those of their boot, those on their disk, and those added while they run."""

import asyncssh
import pytest

from tests.sandbox.machines.driver_fixture import SPEC, DriverFixture

PROBES = ["", " ", "open sesame", "*", "!", "mist"]


def make_key() -> tuple[asyncssh.SSHKey, str]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    return key, key.export_public_key().decode().strip()


def by_key(key: asyncssh.SSHKey) -> dict[str, object]:
    return {"password": None, "client_keys": [key]}


async def test_a_key_of_the_boot_logs_in(driver_fixture: DriverFixture) -> None:
    key, line = make_key()
    machine = await driver_fixture.boot(password="", authorized_keys=(line,))
    async with driver_fixture.open_connection(machine, **by_key(key)) as connection:
        assert (await connection.run("cat ~/.ssh/authorized_keys; stat -c %a ~/.ssh ~/.ssh/*")).stdout == (
            f"{line}\n700\n600\n"
        )


@pytest.mark.parametrize("password", PROBES)
async def test_no_password_opens_a_machine_without_one(driver_fixture: DriverFixture, password: str) -> None:
    machine = await driver_fixture.boot(password="", authorized_keys=(make_key()[1],))
    with pytest.raises(asyncssh.PermissionDenied):
        await driver_fixture.connect(machine, password=password)


async def test_no_password_is_asked_for(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(password="", authorized_keys=(make_key()[1],))
    methods = await asyncssh.get_server_auth_methods(machine.host, machine.port, SPEC.user)
    assert "password" not in methods
    assert "publickey" in methods


async def test_another_key_is_refused(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(password="", authorized_keys=(make_key()[1],))
    with pytest.raises(asyncssh.PermissionDenied):
        await driver_fixture.connect(machine, **by_key(make_key()[0]))


async def test_a_key_added_to_a_running_machine_works_at_once(driver_fixture: DriverFixture) -> None:
    first, first_line = make_key()
    second, second_line = make_key()
    machine = await driver_fixture.boot(password="", authorized_keys=(first_line,))
    with pytest.raises(asyncssh.PermissionDenied):
        await driver_fixture.connect(machine, **by_key(second))
    for _again in range(2):
        await driver_fixture.driver.add_authorized_key(machine.id, second_line)
    for key in (first, second):
        async with driver_fixture.open_connection(machine, **by_key(key)) as connection:
            assert (await connection.run("cat ~/.ssh/authorized_keys")).stdout == (
                f"{first_line}\n{second_line}\n"
            )


async def test_keys_stay_on_the_disk(driver_fixture: DriverFixture) -> None:
    first, first_line = make_key()
    second, second_line = make_key()
    third, third_line = make_key()
    machine = await driver_fixture.boot(password="", authorized_keys=(first_line,))
    await driver_fixture.driver.add_authorized_key(machine.id, second_line)
    await driver_fixture.driver.kill(machine.id)
    again = await driver_fixture.boot(password="", authorized_keys=(third_line, first_line))
    for key in (first, second, third):
        async with driver_fixture.open_connection(again, **by_key(key)):
            pass


async def test_keys_beside_a_password(driver_fixture: DriverFixture) -> None:
    key, line = make_key()
    machine = await driver_fixture.boot(authorized_keys=(line,))
    async with driver_fixture.open_connection(machine):
        pass
    async with driver_fixture.open_connection(machine, **by_key(key)):
        pass


async def test_a_disk_of_fixed_size_has_the_keys_too(driver_fixture: DriverFixture) -> None:
    first, first_line = make_key()
    second, second_line = make_key()
    machine = await driver_fixture.boot(
        password="", authorized_keys=(first_line,), disk_bytes=4_000_000, data="small"
    )
    await driver_fixture.driver.add_authorized_key(machine.id, second_line)
    for key in (first, second):
        async with driver_fixture.open_connection(machine, **by_key(key)):
            pass


async def test_a_link_in_place_of_the_keys_is_not_followed(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    await driver_fixture.read_output(machine, "mkdir elsewhere && ln -s elsewhere .ssh")
    with pytest.raises(OSError, match=r"\.ssh"):
        await driver_fixture.driver.add_authorized_key(machine.id, make_key()[1])
    assert await driver_fixture.read_output(machine, "ls elsewhere") == ""


async def test_a_line_that_is_no_key_line_is_refused(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    for line in ("", " ", f"{make_key()[1]}\n{make_key()[1]}", f"{make_key()[1]}\n"):
        with pytest.raises(ValueError, match="one line"):
            await driver_fixture.driver.add_authorized_key(machine.id, line)
    await driver_fixture.driver.add_authorized_key("nobody", make_key()[1])
