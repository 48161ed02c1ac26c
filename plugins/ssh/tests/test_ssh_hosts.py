"""Any host: nothing is offered or ordered, and everything after that works over the SSH connection."""

from __future__ import annotations

import pytest

from gpurent.api import (
    AssistedRental,
    Known,
    LeaseProvider,
    ManualTask,
    Requirements,
    UnavailableError,
    Unknown,
)
from gpurent_plugin_ssh import plugin
from gpurent_plugin_ssh.provider import AnySshProvider


def test_its_entry_needs_no_account() -> None:
    (entry,) = plugin.gpurent_register_lease()
    assert (entry.name, entry.auth, entry.billing, entry.web_hosts) == ("ssh", "", "", ())
    made = entry.build(None)  # type: ignore[arg-type]
    assert isinstance(made, LeaseProvider)
    assert isinstance(made, AssistedRental)


async def test_nothing_is_offered_and_no_list_says_what_is_gone() -> None:
    host = AnySshProvider()
    assert host.is_manual
    assert await host.list_offers(Requirements()) == Known(())
    assert isinstance(await host.list_leases(), Unknown)
    with pytest.raises(UnavailableError, match="no API"):
        await host.reserve_lease(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ManualTask)
def test_instructions_for_every_manual_task(task: ManualTask) -> None:
    instructions = AnySshProvider().get_instructions(task)
    assert instructions.steps
    assert not instructions.url
