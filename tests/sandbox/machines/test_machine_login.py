"""Who may log in, and with which host key."""

from typing import Any

import asyncssh
import pytest

from tests.sandbox.machines.driver_fixture import DriverFixture


async def test_password(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    assert (await driver_fixture.read_output(machine, "echo $USER $LOGNAME")).split() == ["mist", "mist"]


@pytest.mark.parametrize("wrong", [{"password": "open"}, {"username": "root"}, {"username": "nobody"}])
async def test_wrong_credentials_are_refused(driver_fixture: DriverFixture, wrong: dict[str, Any]) -> None:
    machine = await driver_fixture.boot()
    with pytest.raises(asyncssh.PermissionDenied):
        await driver_fixture.connect(machine, **wrong)


async def test_a_key_that_the_client_installed_lets_it_in(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    key = asyncssh.generate_private_key("ssh-ed25519")
    by_key = {"password": None, "client_keys": [key]}
    with pytest.raises(asyncssh.PermissionDenied):
        await driver_fixture.connect(machine, **by_key)
    public = key.export_public_key().decode().strip()
    await driver_fixture.read_output(machine, f"mkdir -m 700 .ssh && echo '{public}' > .ssh/authorized_keys")
    async with driver_fixture.open_connection(machine, **by_key) as connection:
        assert (await connection.run("echo in")).stdout == "in\n"


async def test_a_key_does_not_open_another_name(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot()
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = key.export_public_key().decode().strip()
    await driver_fixture.read_output(machine, f"mkdir -m 700 .ssh && echo '{public}' > .ssh/authorized_keys")
    with pytest.raises(asyncssh.PermissionDenied):
        await driver_fixture.connect(machine, username="other", password=None, client_keys=[key])


async def test_root_can_be_the_rented_user(driver_fixture: DriverFixture) -> None:
    machine = await driver_fixture.boot(user="root", hostname="iZuf69")
    assert (
        await driver_fixture.read_output(machine, "echo $USER; [ -w ~ ] && echo writable")
        == "root\nwritable\n"
    )


async def test_the_host_key_belongs_to_the_disk(driver_fixture: DriverFixture) -> None:
    first = await driver_fixture.boot()
    other = await driver_fixture.boot(data="another")
    await driver_fixture.driver.kill(first.id)
    again = await driver_fixture.boot()
    assert again.host_key == first.host_key != other.host_key
    assert again.host_key.startswith("ssh-ed25519 AAAA")
    async with driver_fixture.open_connection(again):
        pass  # the client checked the key


async def test_a_changed_host_key_is_noticed_before_the_password_leaves(
    driver_fixture: DriverFixture,
) -> None:
    first = await driver_fixture.boot()
    await driver_fixture.driver.kill(first.id)
    await driver_fixture.driver.delete_disk(first.spec.data)
    again = await driver_fixture.boot(port=first.port)
    assert again.port == first.port
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await driver_fixture.connect(first)
