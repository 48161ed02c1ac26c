"""What goes otherwise at Lambda Cloud: keys that are registered first, a launch that comes twice, odd states.

The harness is in this file: what lies below ``plugins/lambda`` cannot be imported by a statement of Python.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from attrs import define, evolve

from gpurent.api import (
    Known,
    Lease,
    LeaseError,
    LeaseState,
    MoneyError,
    Offer,
    Order,
    OrderKind,
    Payment,
    Requirements,
    Secret,
    SoldOut,
    Spent,
    UnavailableError,
    UnexpectedResponse,
)
from gpurent.testing.fakes import HttpFaults
from gpurent.testing.lease_driver import make_public_key, refresh_as_core, release_as_core
from gpurent.testing.sandbox_harness import SandboxHarness, SandboxUser, sandbox_harness
from gpurent_plugin_lambda import wire
from gpurent_plugin_lambda.billing import LambdaBilling
from gpurent_plugin_lambda.provider import LambdaProvider, apply_instance
from gpurent_plugin_lambda.simulator.service import LambdaSimulator
from gpurent_plugin_lambda.simulator.state import LambdaAccount, LambdaInstance, LambdaState

NAME = "lambda"
ACTIVE_AFTER = timedelta(seconds=60)


@define
class LambdaHarness:
    """``client`` calls the API as the same account. ``provider`` is built anew each time, as by a new process."""

    sandbox: SandboxHarness
    client: httpx2.AsyncClient
    user: SandboxUser
    public_key: str

    @property
    def state(self) -> LambdaState:
        return self.sandbox.simulator(NAME, LambdaSimulator).state

    @property
    def account(self) -> LambdaAccount:
        return self.state.accounts[0]

    @property
    def instance(self) -> LambdaInstance:
        """The account's only machine."""
        (found,) = self.account.instances
        return found

    @property
    def key_names(self) -> list[str]:
        return [key.name for key in self.account.keys.values()]

    @property
    def provider(self) -> LambdaProvider:
        return self.user.provider(NAME, LambdaProvider)

    def provider_with(self, faults: HttpFaults) -> LambdaProvider:
        return self.user.provider(NAME, LambdaProvider, faults=faults)

    @property
    def billing(self) -> LambdaBilling:
        return self.user.billing(NAME, LambdaBilling)

    async def call(self, method: str, path: str, **fields: Any) -> Any:
        """Return status and JSON of a call below /api/v1."""
        answer = await self.client.request(method, f"/api/v1{path}", **fields)
        return answer.status_code, answer.json()

    async def list_offers(self) -> list[Offer]:
        found = await self.provider.list_offers(Requirements())
        assert isinstance(found, Known)
        return list(found.items)

    async def list_leases(self) -> list[Lease]:
        found = await self.provider.list_leases()
        assert isinstance(found, Known)
        return list(found.items)

    async def reserve(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        """Reserve the first machine that is free, or ``offer``."""
        offer = offer or next(one for one in await self.list_offers() if one.available)
        wanted = Order(key=key, kind=OrderKind.NEW, offer=offer, public_key=self.public_key)
        lease = await self.provider.reserve_lease(evolve(wanted, **order))
        return evolve(lease, id=f"lambda-{key}", label=key)

    async def confirm(self, lease: Lease, provider: LambdaProvider | None = None) -> Lease:
        payment = Payment(key=lease.label, proof="", amount=wire.USD.zero, at=self.sandbox.clock.now())
        return await (provider or self.provider).confirm_lease(lease, payment)

    async def rent(self, key: str = "k", offer: Offer | None = None, **order: Any) -> Lease:
        return await self.confirm(await self.reserve(key, offer, **order))

    async def rent_running(self, key: str = "k", offer: Offer | None = None) -> Lease:
        lease = await self.refresh(await self.rent(key, offer))
        await self.sandbox.advance(ACTIVE_AFTER)
        return await self.refresh(lease)

    async def refresh(self, lease: Lease) -> Lease:
        return await refresh_as_core(self.provider, lease, self.sandbox.clock.now())

    async def release(self, lease: Lease) -> Lease:
        return await release_as_core(self.provider, lease, self.sandbox.clock.now())

    def mark_sent(self, lease: Lease) -> Lease:
        assert lease.pending is not None
        return evolve(lease, pending=evolve(lease.pending, sent_at=self.sandbox.clock.now()))

    async def advance(self, **span: float) -> None:
        await self.sandbox.advance(timedelta(**span))


@asynccontextmanager
async def lambda_harness(machines: int = 5, **settings: str) -> AsyncIterator[LambdaHarness]:
    """Run the simulator with a user who is logged in; ``settings`` are the simulator's."""
    named = {f"{NAME}.{key}": value for key, value in settings.items()}
    async with sandbox_harness(NAME, machines=machines, settings=named) as sandbox:
        key = sandbox.simulator(NAME, LambdaSimulator).state.accounts[0].api_key
        async with httpx2.AsyncClient(
            base_url=sandbox.simulators.urls[NAME],
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
        ) as client:
            user = sandbox.user()
            user.credentials[NAME] = {"api_key": Secret(key)}
            await user.login(NAME)
            yield LambdaHarness(sandbox, client, user, make_public_key())


# offers


async def test_offers_are_types_in_regions_and_only_those_with_gpus() -> None:
    async with lambda_harness() as user:
        offers = {offer.key: offer for offer in await user.list_offers()}
        a10 = offers["gpu_1x_a10@us-west-1"]
        assert (a10.hardware.gpu, a10.hardware.gpu_memory, a10.hardware.gpus) == ("A10", 24, 1)
        assert str(a10.tariff.price) == "0.75 USD/h"
        assert a10.location == "California, USA (us-west-1)"
        assert not offers["gpu_1x_rtx6000"].available, "no region has it"
        assert not any("cpu" in key for key in offers)
        with pytest.raises(SoldOut):
            await user.reserve(offer=offers["gpu_1x_rtx6000"])


# keys


async def test_the_key_is_registered_for_the_launch_and_deleted_after_the_release() -> None:
    async with lambda_harness() as user:
        _status, made = await user.call(
            "POST", "/ssh-keys", json={"name": "mine", "public_key": make_public_key()}
        )
        lease = await user.rent_running()
        assert lease.state is LeaseState.READY
        assert user.key_names == ["mine", "k"]
        assert user.instance.key.line == user.public_key
        released = await user.release(lease)
        assert (released.state, user.key_names) == (LeaseState.RELEASED, ["mine"])
        assert isinstance(await user.provider.release_lease(lease), Lease), "again: it has ended"
        listed = await user.provider.list_leases()
        assert isinstance(listed, Known)
        assert listed.items == (), "the service lists it for some minutes more"
        assert made["data"]["id"] in user.account.keys


async def test_a_key_of_that_name_that_is_not_ours_is_neither_used_nor_deleted() -> None:
    async with lambda_harness() as user:
        await user.call("POST", "/ssh-keys", json={"name": "k", "public_key": make_public_key()})
        lease = await user.reserve()
        with pytest.raises(LeaseError, match="already called k") as caught:
            await user.confirm(lease)
        assert caught.value.spent is Spent.NO
        await user.release(lease)
        assert (user.key_names, user.account.instances) == (["k"], [])


async def test_a_lost_answer_to_the_key_or_the_launch_leaves_one_machine_and_no_key() -> None:
    async with lambda_harness() as user:
        for lost in (2, 4):
            lease = await user.reserve(f"k{lost}")
            with pytest.raises(UnavailableError, match="answer was lost"):
                await user.confirm(lease, user.provider_with(HttpFaults(lose_response=lost)))
            lease = user.mark_sent(lease)
            await user.advance(minutes=2)
            rented = await user.confirm(lease)
            assert rented.ref
            await user.release(rented)
        assert user.key_names == []
        assert len(user.account.instances) == 2


async def test_what_is_sold_out_leaves_no_key() -> None:
    async with lambda_harness() as user:
        lease = await user.reserve()
        user.state.capacity.left.clear()
        lease = user.mark_sent(lease)
        await user.advance(minutes=2)
        with pytest.raises(SoldOut):
            await user.confirm(lease)
        assert user.key_names == []


async def test_an_adopted_machine_keeps_its_owners_key() -> None:
    async with lambda_harness() as user:
        await user.call("POST", "/ssh-keys", json={"name": "mine", "public_key": make_public_key()})
        body = {
            "region_name": "us-west-1",
            "instance_type_name": "gpu_1x_a10",
            "ssh_key_names": ["mine"],
            "name": "mine",
        }
        status, _answer = await user.call("POST", "/instance-operations/launch", json=body)
        assert status == 200
        await user.advance(minutes=2)
        (found,) = await user.list_leases()
        assert (found.label, found.state, found.started_at) == ("mine", LeaseState.READY, None)
        adopted = await user.refresh(evolve(found, id="lambda-mine"))
        assert adopted.started_at == user.sandbox.clock.now(), "what it cost before is not known"
        await user.release(adopted)
        assert user.key_names == ["mine"]


# launches


async def test_a_launch_that_comes_twice_leaves_one_machine() -> None:
    async with lambda_harness(machines=20) as user:
        lease = await user.rent()
        key = user.account.find_key("k")
        assert key is not None
        user.state.launch(user.account, "gpu_1x_a10", "us-west-1", key, "k")
        again = await user.confirm(user.mark_sent(evolve(await user.reserve(), label="k")))
        assert again.ref == lease.ref
        assert [one.is_there for one in user.account.instances] == [True, False]


@pytest.mark.parametrize("code", ["global/account-inactive", "global/invalid-address"])
async def test_an_account_that_may_rent_nothing_is_told_so(code: str) -> None:
    async with lambda_harness(account=code) as user:
        lease = await user.reserve()
        with pytest.raises(MoneyError, match="rents out nothing") as caught:
            await user.confirm(lease)
        assert (caught.value.spent, user.key_names) == (Spent.NO, [])


async def test_the_quota_is_a_refusal_that_cost_nothing() -> None:
    async with lambda_harness(quota="0") as user:
        with pytest.raises(LeaseError, match="Quota exceeded") as caught:
            await user.rent()
        assert (caught.value.spent, user.key_names) == (Spent.NO, [])


async def test_a_long_order_key_still_names_its_machine() -> None:
    async with lambda_harness() as user:
        key = "t-" + "x" * 90
        lease = await user.rent(key)
        assert len(user.instance.name) == wire.MAX_NAME_LENGTH
        assert (await user.confirm(user.mark_sent(await user.reserve(key)))).ref == lease.ref


# what becomes of a machine


async def test_states_that_others_bring_about() -> None:
    async with lambda_harness() as user:
        lease = await user.rent_running()
        await user.state.fail(user.instance, "unhealthy")
        unhealthy = await user.refresh(lease)
        assert (unhealthy.state, unhealthy.is_over) == (LeaseState.INTERRUPTED, False)
        assert unhealthy.current_price == lease.offer.tariff.price, "it is billed all the same"
        await user.call("POST", "/instance-operations/terminate", json={"instance_ids": [lease.ref]})
        gone = await user.refresh(unhealthy)
        assert (gone.state, user.key_names) == (LeaseState.RELEASED, [])
        assert gone.ended_at == user.sandbox.clock.now(), (
            "it is billed until then, however long it takes to end"
        )
        await user.advance(seconds=30)
        assert (await user.refresh(gone)).ended_at == gone.ended_at


async def test_a_machine_that_is_taken_back_is_over() -> None:
    async with lambda_harness() as user:
        lease = await user.rent_running()
        await user.state.fail(user.instance, "preempted")
        assert (await user.refresh(lease)).state is LeaseState.GONE
        row = user.instance.describe()
        reply = wire.LambdaReply(service="x", status=200, url="/", body={})
        odd = wire.parse_instance(reply, {**row, "status": "dreaming"})
        with pytest.raises(UnexpectedResponse, match="dreaming"):
            apply_instance(lease, odd)
        with pytest.raises(UnexpectedResponse, match="an address"):
            wire.parse_instance(reply, {**row, "ip": "-oProxyCommand=x"})
        with pytest.raises(UnexpectedResponse, match="id is no id"):
            wire.parse_instance(reply, {**row, "id": "../ssh-keys"})


async def test_the_cost_is_computed_and_not_less_than_what_is_billed() -> None:
    async with lambda_harness() as user:
        lease = await user.rent_running()
        assert lease.started_at is not None
        assert user.instance.active_at is not None
        assert timedelta() <= user.instance.active_at - lease.started_at <= ACTIVE_AFTER
        await user.advance(hours=2, seconds=1)
        found = await user.billing.list_charges(await user.release(lease))
        assert isinstance(found, Known)
        (charge,) = found.items
        taken = user.instance.compute_cost(user.state.at)
        assert taken == 121 * 750_000 // 60
        assert taken <= charge.money.amount <= taken + 750_000 // 60
        with pytest.raises(MoneyError, match="bills afterwards"):
            await user.billing.get_balance()


async def test_a_machine_that_was_active_unseen_has_its_cost() -> None:
    async with lambda_harness() as user:
        lease = await user.refresh(await user.rent())
        await user.advance(hours=1)
        found = await user.billing.list_charges(await user.release(lease))
        assert isinstance(found, Known)
        taken = user.instance.compute_cost(user.state.at)
        assert 0 < taken <= found.items[0].money.amount


# access


async def test_the_account_is_the_owner_of_what_is_in_its_log() -> None:
    async with lambda_harness() as user:
        assert user.user.logins[NAME].account == user.account.lrn
        for _number in range(60):
            user.state.add_key(user.account, "x", user.public_key)
        _status, page = await user.call("GET", "/audit-events")
        assert len(page["data"]) == 50
        _status, rest = await user.call("GET", "/audit-events", params={"page_token": page["page_token"]})
        assert (len(rest["data"]), rest["page_token"]) == (11, None)


async def test_calls_that_come_too_early_are_refused() -> None:
    async with lambda_harness() as user:
        user.sandbox.simulator(NAME, LambdaSimulator).has_pace = True
        first = await user.client.get("/api/v1/instances")
        second = await user.client.get("/api/v1/ssh-keys")
        assert (first.status_code, second.status_code, second.text) == (200, 429, "Too Many Requests")
        await user.advance(seconds=1)
        assert (await user.client.get("/api/v1/ssh-keys")).status_code == 200


async def test_a_wrong_key_and_a_basic_one() -> None:
    async with lambda_harness() as user:
        wrong = await user.client.get("/api/v1/instances", headers={"Authorization": "Bearer no"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, wire.INVALID_KEY)
        basic = httpx2.BasicAuth(user.account.api_key, "")
        answer = await user.client.get("/api/v1/instances", headers={"Authorization": ""}, auth=basic)
        assert answer.json() == {"data": []}
