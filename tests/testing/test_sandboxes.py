"""The test sandboxes: users of one sandbox do not see each other, and a sandbox for one test costs almost nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gpurent.domain.evidence import Known
from gpurent.domain.offer import Requirements
from gpurent.domain.question import Mail
from gpurent.errors import UsageError
from gpurent.roles.account import SupportsEnrolment
from gpurent.roles.entries import LeaseEntry, MailboxEntry
from gpurent.roles.lease import LeaseProvider
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.sandbox_harness import installed_plugins, sandbox_harness
from gpurent.testing.shared_sandbox import CommandLineUser, SharedSandbox, shared_sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSandbox]:
    with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=60) as made:
        yield made


@pytest.fixture
def user(sandbox: SharedSandbox, tmp_path: Path) -> CommandLineUser:
    return sandbox.user(tmp_path)


def providers_with_a_simulator() -> list[str]:
    registry = installed_plugins()
    return sorted(set(registry.list_names("lease")) & set(registry.list_names("simulator")))


@pytest.mark.parametrize("name", providers_with_a_simulator())
async def test_every_provider_lists_its_machines_to_a_new_user(name: str) -> None:
    registry = installed_plugins()
    entry = registry.get_entry(LeaseEntry, name)
    names = {name, entry.auth, entry.billing} & set(registry.list_names("simulator"))
    async with sandbox_harness(*names) as sandbox:
        first, second = sandbox.user(), sandbox.user()
        assert first.mail.address != second.mail.address
        provider = first.provider(name)
        assert isinstance(provider, LeaseProvider)
        if not isinstance(first.authenticator(name), SupportsEnrolment):
            return  # an account of the service, which only its own tests can open
        assert (await first.login(name)).account != (await second.login(name)).account
        found = await provider.list_offers(Requirements())
        assert isinstance(found, Known)
        assert found.items


async def test_sandbox_harness_is_quick_and_its_time_virtual() -> None:
    started = time.monotonic()
    for _harness in range(5):
        async with sandbox_harness(*installed_plugins().list_names("simulator")) as sandbox:
            before = sandbox.clock.now()
            await sandbox.advance(timedelta(days=30))
            assert sandbox.clock.now() - before == timedelta(days=30)
            with pytest.raises(UsageError):
                sandbox.simulator("nobody", object)
    assert time.monotonic() - started < 5 * load_factor()


def test_one_user_of_a_shared_sandbox_does_not_see_the_other(
    sandbox: SharedSandbox, user: CommandLineUser, tmp_path: Path
) -> None:
    name = next(
        iter(n for n in providers_with_a_simulator() if installed_plugins().get_entry(LeaseEntry, n).auth)
    )
    other = sandbox.user(tmp_path / "other")
    assert other.address != user.address
    assert user.run("ls", "--json").data == other.run("ls", "--json").data == []
    assert user.run("balance", name).code == 4
    assert "not logged in" in user.run("balance", name).err
    refused = user.run("no-such-command")
    assert (refused.code, refused.out) == (2, "")


def test_the_shared_sandbox_s_mail_goes_to_whom_it_is_for(
    sandbox: SharedSandbox, user: CommandLineUser, tmp_path: Path
) -> None:
    from gpurent.testing.fakes import FakePluginContext

    other = sandbox.user(tmp_path / "other")
    sender = "notice@provider.example"
    sandbox.run_in_loop(sandbox.cloud.mail.deliver(to=user.address, sender=sender, subject="code", text="1"))
    entry = installed_plugins().get_entry(MailboxEntry, "imap")

    async def mails(of: CommandLineUser) -> list[Mail]:
        prefix = "GPURENT_IMAP_"
        form = {
            key.removeprefix(prefix).lower(): value for key, value in of.environment.items() if prefix in key
        }
        box = entry.build(FakePluginContext(entry, settings=form))
        since = sandbox.cloud.clock.now() - timedelta(days=36500)
        return list(await box.search(since=since, sender=sender, subject=""))

    assert [mail.text.strip() for mail in sandbox.run_in_loop(mails(user))] == ["1"]
    assert sandbox.run_in_loop(mails(other)) == []


def test_the_shared_sandbox_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with shared_sandbox(tmp_path / "sandbox") as sandbox:
        earlier = sandbox.cloud.clock.now()
        sandbox.advance(days=1)
        assert sandbox.cloud.clock.now() - earlier >= timedelta(days=1)
    assert [
        thread for thread in threading.enumerate() if thread not in before and thread.name == "sandbox"
    ] == []
