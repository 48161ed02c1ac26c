"""Who gets in, and to which host key."""

from typing import Any

import asyncssh
import pytest

from tests.sandbox.machines.lab import Lab


async def test_password(lab: Lab) -> None:
    machine = await lab.boot()
    assert (await lab.output(machine, "echo $USER $LOGNAME")).split() == ["mist", "mist"]


@pytest.mark.parametrize("wrong", [{"password": "open"}, {"username": "root"}, {"username": "nobody"}])
async def test_wrong_credentials_are_refused(lab: Lab, wrong: dict[str, Any]) -> None:
    machine = await lab.boot()
    with pytest.raises(asyncssh.PermissionDenied):
        await lab.connect(machine, **wrong)


async def test_a_key_that_the_client_installed_lets_it_in(lab: Lab) -> None:
    machine = await lab.boot()
    key = asyncssh.generate_private_key("ssh-ed25519")
    by_key = {"password": None, "client_keys": [key]}
    with pytest.raises(asyncssh.PermissionDenied):
        await lab.connect(machine, **by_key)
    public = key.export_public_key().decode().strip()
    await lab.output(machine, f"mkdir -m 700 .ssh && echo '{public}' > .ssh/authorized_keys")
    async with lab.login(machine, **by_key) as connection:
        assert (await connection.run("echo in")).stdout == "in\n"


async def test_a_key_does_not_open_another_name(lab: Lab) -> None:
    machine = await lab.boot()
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = key.export_public_key().decode().strip()
    await lab.output(machine, f"mkdir -m 700 .ssh && echo '{public}' > .ssh/authorized_keys")
    with pytest.raises(asyncssh.PermissionDenied):
        await lab.connect(machine, username="other", password=None, client_keys=[key])


async def test_root_can_be_the_rented_user(lab: Lab) -> None:
    machine = await lab.boot(user="root", hostname="iZuf69")
    assert await lab.output(machine, "echo $USER; [ -w ~ ] && echo writable") == "root\nwritable\n"


async def test_the_host_key_belongs_to_the_disk(lab: Lab) -> None:
    first = await lab.boot()
    other = await lab.boot(data="another")
    await lab.driver.kill(first.id)
    again = await lab.boot()
    assert again.host_key == first.host_key != other.host_key
    assert again.host_key.startswith("ssh-ed25519 AAAA")
    async with lab.login(again):
        pass  # the client checked the key


async def test_a_changed_host_key_is_noticed_before_the_password_leaves(lab: Lab) -> None:
    first = await lab.boot()
    await lab.driver.kill(first.id)
    await lab.driver.erase(first.spec.data)
    again = await lab.boot(port=first.port)
    assert again.port == first.port
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        await lab.connect(first)
