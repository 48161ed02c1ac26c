"""The account's SSH keys: the service takes only the whole set, which other programs change as well."""

from __future__ import annotations

import asyncio

import pytest

from gpurent.api import LeaseError, Spent, UnavailableError
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import make_public_key
from plugins.runpod.tests.runpod_harness import runpod_harness

ODD = f"{make_public_key()}   me at   home "


async def test_a_lease_s_key_is_there_for_its_pod_alone_and_no_other_is_touched() -> None:
    async with runpod_harness() as user:
        foreign = [make_public_key("me@home"), ODD]
        user.api.account.keys = list(foreign)
        lease = await user.rent_running()
        assert user.api.account.keys == [*foreign, user.public_key]
        lines = user.api.machines.only_machine.spec.authorized_keys
        assert user.public_key in lines
        later = make_public_key("added meanwhile")
        user.api.account.keys.insert(0, later)
        await user.release(lease)
        assert user.api.account.keys == [later, *foreign]


async def test_a_key_that_the_user_has_registered_too_is_registered_once() -> None:
    async with runpod_harness() as user:
        user.api.account.keys = [f"{user.public_key} under another name"]
        await user.rent_running()
        assert user.api.account.keys == [f"{user.public_key} under another name"]


async def test_a_key_that_another_program_has_overwritten_is_added_again() -> None:
    async with runpod_harness() as user:
        user.api.account.rival_writes = 2
        await user.rent_running()
        assert user.public_key in user.api.account.keys
        assert user.api.machines.only_machine.spec.authorized_keys == (user.public_key,)


async def test_without_its_key_no_pod_is_created() -> None:
    async with runpod_harness() as user:
        user.api.account.rival_writes = 9
        lease = await user.reserve()
        with pytest.raises(LeaseError, match="another program") as caught:
            await user.confirm(lease)
        assert (caught.value.spent, caught.value.retryable) == (Spent.NO, True)
        assert user.api.account.pods == []


async def test_two_processes_at_once_lose_no_key() -> None:
    async with runpod_harness() as user:
        offers = await user.list_offers()
        keys = [make_public_key() for _offer in offers[:3]]
        orders = zip(offers, keys, strict=False)
        leases = await asyncio.gather(
            *(user.rent(f"k{number}", offer, public_key=key) for number, (offer, key) in enumerate(orders))
        )
        assert sorted(user.api.account.keys) == sorted(keys)
        named = {pod.name: pod for pod in user.api.account.pods}
        assert [named[f"k{number}"].authorized_keys.count(key) for number, key in enumerate(keys)] == [1] * 3
        await asyncio.gather(*(user.release(lease) for lease in leases))
        assert user.api.account.keys == []


async def test_a_key_that_cannot_be_removed_does_not_hold_up_the_release() -> None:
    async with runpod_harness() as user:
        lease = await user.rent_running()
        released = await user.provider_with(HttpFaults(lose_request=2)).release_lease(lease)
        assert getattr(released, "is_over", False)
        assert user.api.account.keys == [user.public_key]
        assert user.api.simulator.list_billed_machines() == []


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_lost_answer_before_the_create_creates_nothing(lost: int) -> None:
    async with runpod_harness() as user:
        user.api.account.keys = [ODD]
        lease = await user.reserve()
        with pytest.raises(UnavailableError):
            await user.confirm(lease, user.provider_with(HttpFaults(lose_response=lost)))
        assert user.api.account.pods == []
        assert user.api.account.keys[0] == ODD
