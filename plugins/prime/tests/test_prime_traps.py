"""What goes otherwise at Prime Intellect: offers without a key, SSH commands as text or list, refusals of two forms."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from gpurent.api import (
    Known,
    Lease,
    LeaseError,
    LeaseState,
    MoneyError,
    Offer,
    SoldOut,
    Spent,
    UnavailableError,
    UnexpectedResponse,
)
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import make_public_key
from gpurent_plugin_prime import wire
from gpurent_plugin_prime.provider import apply_pod
from gpurent_plugin_prime.simulator.catalog import CLOUDS
from plugins.prime.tests.prime_harness import PrimeHarness, prime_harness


def find_offer(offers: list[Offer], cloud: str) -> Offer:
    return next(one for one in offers if one.provider_data[wire.OWNER] == cloud and one.available)


# offers


async def test_offers_of_all_pages_without_what_gpurent_does_not_rent() -> None:
    async with prime_harness(machines=130) as user:
        offers = await user.list_offers()
        assert len(offers) == 120, "each once; spot, prepaid and CPU machines are left out"
        assert len({offer.key for offer in offers}) == 120
        assert not any(offer.spot for offer in offers)
        again = await user.list_offers()
        assert [offer.key for offer in again] == [offer.key for offer in offers]
        one = offers[0]
        assert (one.hardware.gpu, one.hardware.gpu_memory, one.location) == ("A6000", 48, "us-central-3, US")
        assert any(offer.hardware.gpu == "RTX 4090" for offer in offers)


async def test_a_disk_that_costs_extra_is_in_the_price_and_in_the_bill() -> None:
    async with prime_harness() as user:
        small = find_offer(await user.list_offers(), "datacrunch")
        assert small.tariff.price.value == Decimal("0.5") + 100 * Decimal("0.000144")
        large = find_offer(await user.list_offers(disk=1000), "datacrunch")
        assert (large.key, large.hardware.disk) == (small.key, 1000)
        assert large.disk is not None
        assert large.disk.maximum == 2000
        fixed = find_offer(await user.list_offers(disk=1000), "massedcompute")
        assert fixed.disk is not None
        assert fixed.disk.maximum == 100, "core leaves it out"
        lease = await user.rent_running(offer=large, disk=1000)
        assert user.pod.disk == 1000
        assert lease.offer.tariff.price == large.tariff.price
        before = (await user.billing.get_balance()).available.amount
        await user.advance(hours=1)
        spent = before - (await user.billing.get_balance()).available.amount
        assert abs(spent - 644_000) <= 1


# keys and creates


async def test_the_key_is_registered_for_the_pod_and_deleted_after_it() -> None:
    async with prime_harness() as user:
        await user.call("POST", "/ssh_keys/", json={"name": "mine", "publicKey": make_public_key()})
        lease = await user.rent_running()
        assert lease.state is LeaseState.READY
        assert user.pod.key is not None
        assert (user.key_names, user.pod.key.line) == (["mine", "k"], user.public_key)
        released = await user.release(lease)
        assert (released.state, user.key_names) == (LeaseState.RELEASED, ["mine"])


async def test_a_lost_answer_leaves_one_pod_and_no_key() -> None:
    async with prime_harness() as user:
        for lost in (2, 4, 5):
            lease = await user.reserve(f"k{lost}")
            with pytest.raises(UnavailableError, match="answer was lost"):
                await user.confirm(lease, user.provider_with(HttpFaults(lose_response=lost)))
            lease = user.mark_sent(lease)
            await user.advance(minutes=2)
            rented = await user.confirm(lease)
            assert rented.ref
            await user.release(rented)
        assert (len(user.account.pods), user.key_names) == (3, [])


async def test_a_create_that_comes_twice_leaves_one_pod() -> None:
    async with prime_harness(machines=130) as user:
        lease = await user.rent()
        pod = user.pod
        user.state.create_pod(user.account, pod.listing, "k", pod.disk, pod.image, pod.key)
        again = await user.confirm(user.mark_sent(evolve(await user.reserve(), label="k")))
        assert [one.id for one in user.account.pods if one.is_there] == [again.ref]
        assert lease.ref in [one.id for one in user.account.pods]


async def test_without_money_nothing_is_rented_and_no_key_is_left() -> None:
    async with prime_harness("0.1") as user:
        lease = await user.reserve()
        with pytest.raises(MoneyError, match="Insufficient balance") as caught:
            await user.confirm(lease)
        assert (caught.value.spent, user.key_names, user.account.pods) == (Spent.NO, [], [])


async def test_what_others_took_is_sold_out() -> None:
    async with prime_harness() as user:
        lease = await user.reserve()
        for listing in user.state.listings:
            listing.left = 0
        with pytest.raises(SoldOut):
            await user.reserve("other", lease.offer)
        lease = user.mark_sent(lease)
        await user.advance(minutes=2)
        with pytest.raises(SoldOut):
            await user.confirm(lease)
        assert user.key_names == []


async def test_a_request_that_fails_its_checks_cost_nothing() -> None:
    async with prime_harness() as user:
        with pytest.raises(LeaseError, match=r"pod\.image: unknown image") as caught:
            await user.rent(image="windows")
        assert (caught.value.spent, user.key_names) == (Spent.NO, [])


# what becomes of a pod


async def test_active_is_not_ready_before_it_is_installed() -> None:
    async with prime_harness() as user:
        for cloud in ("massedcompute", "hyperstack"):
            offer = find_offer(await user.list_offers(), cloud)
            lease = await user.rent(cloud, offer)
            await user.advance(seconds=42)
            early = await user.refresh(lease)
            assert (early.state, early.endpoint) == (LeaseState.PROVISIONING, None)
            await user.advance(seconds=10)
            ready = await user.refresh(early)
            assert ready.endpoint is not None, "as text or as a list"
            assert (ready.state, ready.endpoint.user) == (LeaseState.READY, "root")
            assert ready.started_at is not None
            await user.release(ready)


@pytest.mark.parametrize(
    ("shown", "address"),
    [
        ("root@135.23.125.123 -p 22", "135.23.125.123"),
        ("ssh root@135.23.125.123 -p 22", "135.23.125.123"),
        (["root@135.23.125.123 -p 22"], "135.23.125.123"),
        (["ssh root@10.0.0.1 -p 22", "ssh root@10.0.0.2 -p 22"], "10.0.0.1"),
        (None, None),
        ([None], None),
        ([], None),
    ],
)
def test_an_ssh_command_is_text_or_a_list(shown: Any, address: str | None) -> None:
    endpoint = wire._parse_endpoint(make_reply({}), shown)
    assert (endpoint.host if endpoint is not None else None) == address


@pytest.mark.parametrize("shown", ["-oProxyCommand=x", 22, ["root@h -p x"], {"a": 1}])
def test_an_ssh_command_that_is_none_is_not_used(shown: Any) -> None:
    with pytest.raises(UnexpectedResponse, match="SSH command"):
        wire._parse_endpoint(make_reply({}), shown)


def make_reply(body: dict[str, Any], status: int = 200) -> wire.PrimeReply:
    return wire.PrimeReply(service="Prime Intellect", status=status, url="https://x/", body=body)


async def test_states_that_others_bring_about() -> None:
    async with prime_harness(delete_seconds="20") as user:
        lease = await user.rent_running()
        await user.state.fail(user.pod, "disk full")
        failed = await user.refresh(lease)
        assert (failed.state, "disk full" in failed.note) == (LeaseState.INTERRUPTED, True)
        releasing = await user.release(failed)
        assert (releasing.state, user.key_names) == (LeaseState.RELEASING, ["k"])
        await user.advance(seconds=30)
        gone = await user.refresh(releasing)
        assert (gone.state, user.key_names) == (LeaseState.RELEASED, [])
        pod = wire.parse_pod(make_reply({}), show_pod(status="STOPPED", stoppedPriceHr=Decimal("0.005")))
        stopped = apply_pod(lease, pod)
        assert (stopped.state, str(stopped.current_price)) == (LeaseState.STOPPED, "0.005 USD/h")
        assert apply_pod(lease, evolve(pod, status="UNKNOWN")).state is LeaseState.INTERRUPTED
        with pytest.raises(UnexpectedResponse, match="dreaming"):
            apply_pod(lease, evolve(pod, status="dreaming"))


def show_pod(**fields: Any) -> dict[str, Any]:
    shown = {
        "id": "p",
        "name": "k",
        "gpuName": "H100_80GB",
        "gpuCount": 1,
        "priceHr": Decimal("2.19"),
        "createdAt": "2026-11-30T09:00:00",
        "status": "ACTIVE",
    }
    return {**shown, **fields}


def test_a_time_without_its_zone_is_utc() -> None:
    pod = wire.parse_pod(make_reply({}), show_pod())
    assert pod.created_at == datetime(2026, 11, 30, 9, tzinfo=UTC)
    with pytest.raises(UnexpectedResponse):
        wire.parse_pod(make_reply({}), show_pod(id="../ssh_keys/1"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"detail": "Pod not found"}, "Pod not found"),
        ({"detail": [{"loc": ["body", "pod", "image"], "msg": "bad"}]}, "pod.image: bad"),
        ({"errors": [{"param": "image", "details": "bad"}]}, "image: bad"),
        ({"detail": 7}, ""),
        ({}, ""),
    ],
)
def test_a_refusal_has_one_of_three_forms(body: dict[str, Any], said: str) -> None:
    reply = make_reply(body, 404)
    assert (reply.detail, reply.is_missing) == (said, bool(said)), "a 404 of a gateway says nothing of a pod"
    assert reply.message == (said or "http-404")


# money


async def test_the_wallet_is_the_statement_and_what_came_in_is_computed(
    user_with_costs: PrimeHarness,
) -> None:
    user = user_with_costs
    found = await user.billing.get_statement()
    assert isinstance(found, Known)
    kinds = [(charge.kind.value, charge.note) for charge in found.items]
    assert kinds[0] == ("top-up", "computed: what is left, and all charges")
    assert sorted(note for _kind, note in kinds[1:]) == ["compute", "disks"]
    assert found.items[0].money == wire.USD.money(50)


@pytest.fixture
async def user_with_costs() -> Any:
    async with prime_harness() as user:
        disk = {"size": 100, "name": "data", "dataCenterId": "CANADA-1"}
        made = {"disk": disk, "provider": {"type": "hyperstack"}}
        assert (await user.call("POST", "/disks/", json=made))[0] == 200
        lease = await user.rent_running()
        await user.advance(hours=3)
        await user.release(lease)
        yield user


async def test_rows_of_many_pages_are_read_once_each() -> None:
    async with prime_harness("500") as user:
        for number in range(105):
            disk = user.state.create_disk(user.account, f"d{number}", 10, CLOUDS[0])
            await user.advance(seconds=60)
            disk.ended_at = user.state.at
        found = await user.billing.get_statement()
        assert isinstance(found, Known)
        assert len(found.items) == 106


async def test_an_empty_wallet_ends_its_pods() -> None:
    async with prime_harness("0.6") as user:
        lease = await user.rent_running()
        await user.advance(hours=3)
        gone = await user.refresh(lease)
        assert isinstance(gone, Lease)
        assert gone.state is LeaseState.RELEASED
        balance = (await user.billing.get_balance()).available.amount
        assert -200 <= balance <= 0
        assert user.simulator.list_billed_machines() == []
