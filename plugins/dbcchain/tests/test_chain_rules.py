"""What the simulated chain refuses, tested directly over its socket."""

from __future__ import annotations

import pytest

from gpurent_plugin_dbcchain import extrinsic
from gpurent_plugin_dbcchain.extrinsic import RENT_PALLET, TERMINATING_PALLET, RuntimeCall
from gpurent_plugin_dbcchain.keys import Keypair
from gpurent_plugin_dbcchain.simulator.chain import compute_network_fee
from gpurent_plugin_dbcchain.simulator.pallets import CallFailed, PalletRules
from plugins.dbcchain.tests.chain_harness import ChainHarness, chain_harness, dbc_units
from plugins.dbcchain.tests.raw_chain_user import RawChainUser

DAY = 14_400


# the pool


async def test_a_wrong_signature_is_refused(raw_user: RawChainUser) -> None:
    body = bytearray(raw_user.sign_call(raw_user.make_rent_call()))
    body[60] ^= 1
    assert (await raw_user.submit_extrinsic(bytes(body)))["data"] == "Transaction has a bad signature"
    stranger = Keypair(raw_user.keypair.public, (await raw_user.harness.make_funded_user()).keypair.secret)
    foreign = raw_user.sign_call(raw_user.make_rent_call(), pair=stranger)
    assert (await raw_user.submit_extrinsic(foreign))["code"] == 1010
    assert raw_user.harness.list_orders() == []
    assert raw_user.user.total_units == dbc_units("5000")


@pytest.mark.parametrize(("spec", "tx", "genesis"), [(410, 2, None), (411, 1, None), (411, 2, b"\x01" * 32)])
async def test_a_signature_for_another_chain_is_refused(
    raw_user: RawChainUser, spec: int, tx: int, genesis: bytes | None
) -> None:
    identity = extrinsic.ChainIdentity(
        spec_version=spec, tx_version=tx, genesis=genesis or raw_user.chain.get_identity().genesis
    )
    answer = await raw_user.submit_extrinsic(raw_user.sign_call(raw_user.make_rent_call(), place=identity))
    assert answer["data"] == "Transaction has a bad signature"


async def test_a_reused_nonce_is_refused(raw_user: RawChainUser) -> None:
    body = raw_user.sign_call(raw_user.make_rent_call())
    assert (await raw_user.submit_extrinsic(body)) == extrinsic.hash_extrinsic(body)
    assert (await raw_user.submit_extrinsic(body))["code"] == 1013, "already there"
    assert (await raw_user.submit_extrinsic(raw_user.sign_call(raw_user.make_rent_call(300), nonce=0)))[
        "code"
    ] == 1014
    raw_user.advance_blocks(1)
    await raw_user.harness.simulator.tick()
    assert (await raw_user.submit_extrinsic(body))["data"] == "Transaction is outdated"
    assert (await raw_user.submit_extrinsic(raw_user.sign_call(raw_user.make_rent_call(300), nonce=0)))[
        "data"
    ] == "Transaction is outdated"
    raw_user.advance_blocks(5)
    assert len(raw_user.harness.list_orders()) == 1


async def test_an_extrinsic_dies_with_its_era(raw_user: RawChainUser) -> None:
    body = raw_user.sign_call(raw_user.make_rent_call())
    raw_user.advance_blocks(extrinsic.ERA_PERIOD)
    assert (await raw_user.submit_extrinsic(body))["data"] == "Transaction has a bad signature"
    late = raw_user.sign_call(raw_user.make_rent_call(), nonce=3)
    assert isinstance(await raw_user.submit_extrinsic(late), str)
    raw_user.advance_blocks(extrinsic.ERA_PERIOD + 1)
    await raw_user.harness.simulator.tick()
    assert raw_user.chain.pool == []
    assert raw_user.harness.list_orders() == []


async def test_who_cannot_pay_the_networks_fee_is_refused(harness: ChainHarness) -> None:
    raw_user = RawChainUser(harness, await harness.make_funded_user(money="0.0001"))
    assert (
        "Inability to pay"
        in (await raw_user.submit_extrinsic(raw_user.sign_call(raw_user.make_rent_call())))["data"]
    )


# the rules


@pytest.mark.parametrize("blocks", [1, 299, 301, 599, 601])
async def test_only_half_hours(raw_user: RawChainUser, blocks: int) -> None:
    body = raw_user.sign_call(raw_user.make_rent_call(blocks))
    assert await raw_user.run_call(raw_user.make_rent_call(blocks)) == "OnlyHalfHourAllowed"
    assert raw_user.user.total_units == dbc_units("5000") - compute_network_fee(body), (
        "the network's fee is gone, the order's is not"
    )
    assert raw_user.user.ledger_units == raw_user.user.total_units


async def test_the_rent_is_the_formulas(raw_user: RawChainUser) -> None:
    number = await raw_user.rent_order()
    order = raw_user.chain.state.orders[RENT_PALLET.rpc_prefix, number]
    assert order.stake == 104_166_500_000_000_000
    rent = order.stake
    assert raw_user.chain.state.account(raw_user.keypair.public).reserved == rent
    assert await raw_user.run_call(RuntimeCall(pallet=RENT_PALLET, verb="confirm", order=number)) == ""
    assert raw_user.chain.state.account(raw_user.keypair.public).reserved == 0
    fees = sum(
        line.amount.amount
        for line in raw_user.harness.simulator.list_ledger_entries()
        if line.kind == "network"
    )
    assert raw_user.user.total_units == dbc_units("5000") - dbc_units("10") - rent + fees
    assert raw_user.user.ledger_units == raw_user.user.total_units


async def test_no_rent_is_longer_than_sixty_days(harness: ChainHarness) -> None:
    raw_user = RawChainUser(harness, await harness.make_funded_user(money="1000000"))
    number = await raw_user.rent_order(blocks=61 * DAY)
    order = raw_user.chain.state.orders[RENT_PALLET.rpc_prefix, number]
    assert order.end - order.start == 60 * DAY


async def test_a_confirmation_in_the_last_block_of_the_window_counts(raw_user: RawChainUser) -> None:
    number = await raw_user.rent_order()
    order = raw_user.chain.state.orders[RENT_PALLET.rpc_prefix, number]
    raw_user.advance_blocks(149 - (raw_user.chain.newest_block - order.start))
    assert await raw_user.run_call(RuntimeCall(pallet=RENT_PALLET, verb="confirm", order=number)) == ""
    assert raw_user.chain.state.orders[RENT_PALLET.rpc_prefix, number].confirmed == order.start + 150


async def test_a_late_confirmation_is_refused_and_only_the_fee_is_lost(raw_user: RawChainUser) -> None:
    number = await raw_user.rent_order()
    order = raw_user.chain.state.orders[RENT_PALLET.rpc_prefix, number]
    held = raw_user.chain.state.account(raw_user.keypair.public).reserved
    assert held == order.stake > 0
    raw_user.advance_blocks(150 - (raw_user.chain.newest_block - order.start))
    refusal = await raw_user.run_call(RuntimeCall(pallet=RENT_PALLET, verb="confirm", order=number))
    assert refusal == "Unknown", "at the end of the window's last block the order was dropped"
    account = raw_user.chain.state.account(raw_user.keypair.public)
    assert account.reserved == 0
    lines = [(line.kind, line.amount.amount) for line in raw_user.harness.simulator.list_ledger_entries()]
    assert [units for kind, units in lines if kind == "fee"] == [-dbc_units("10")]
    assert not [kind for kind, _units in lines if kind == "rent"]
    assert raw_user.user.ledger_units == account.free


async def test_the_late_confirmations_own_error_is_known_too(raw_user: RawChainUser) -> None:
    """The chain drops the order in the same block; if it did not, it would return this error."""
    number = await raw_user.rent_order()
    raw_user.chain.state.orders[RENT_PALLET.rpc_prefix, number].start -= 200
    order = raw_user.chain.state.orders[RENT_PALLET.rpc_prefix, number]
    order.end += 400
    rules = PalletRules(raw_user.chain.state, raw_user.chain.newest_block, lambda *_given: None)
    with pytest.raises(CallFailed, match="ExpiredConfirm"):
        rules.run_call(raw_user.keypair.public, RuntimeCall(pallet=RENT_PALLET, verb="confirm", order=number))


async def test_a_taken_or_unreachable_machine_is_refused() -> None:
    async with chain_harness(taken="1", offline="1") as harness:
        raw_user = RawChainUser(harness, await harness.make_funded_user())
        offline, taken = list(raw_user.chain.state.hosts.values())[-2:]
        assert await raw_user.run_call(raw_user.make_rent_call(machine=offline.id)) == "MachineNotRentable"
        error = await raw_user.run_call(raw_user.make_rent_call(machine=taken.id, pallet=TERMINATING_PALLET))
        assert error == "error 12 in pallet 113"
        assert await raw_user.run_call(raw_user.make_rent_call(machine="00" * 32)) == "Unknown"
        assert harness.list_orders() == []


async def test_more_gpus_than_are_free_are_refused(raw_user: RawChainUser) -> None:
    machine = raw_user.find_machine_id(RENT_PALLET, gpus=4)
    assert await raw_user.run_call(raw_user.make_rent_call(machine=machine, gpus=3)) == ""
    assert await raw_user.run_call(raw_user.make_rent_call(machine=machine, gpus=2)) == "GPUNotEnough"
    assert await raw_user.run_call(raw_user.make_rent_call(machine=machine, gpus=1)) == ""


async def test_who_has_too_little_is_refused(harness: ChainHarness) -> None:
    poor_user, poorer_user = (
        RawChainUser(harness, await harness.make_funded_user(money="50")),
        RawChainUser(harness, await harness.make_funded_user(money="9")),
    )
    assert await poor_user.run_call(poor_user.make_rent_call()) == "InsufficientValue"
    assert await poorer_user.run_call(poorer_user.make_rent_call()) == "PayTxFeeFailed"
    assert dbc_units("49.99") < poor_user.user.total_units < dbc_units("50")


async def test_relet_needs_ten_minutes_and_ends_within_sixty_days(harness: ChainHarness) -> None:
    raw_user = RawChainUser(harness, await harness.make_funded_user(money="1000000"))
    number = await raw_user.rent_order(blocks=59 * DAY)
    key = (RENT_PALLET.rpc_prefix, number)

    def make_relet_call(blocks: int) -> RuntimeCall:
        return RuntimeCall(pallet=RENT_PALLET, verb="relet", order=number, blocks=blocks)

    assert await raw_user.run_call(make_relet_call(100)) == "NoOrderExist", "not confirmed yet"
    assert await raw_user.run_call(RuntimeCall(pallet=RENT_PALLET, verb="confirm", order=number)) == ""
    assert await raw_user.run_call(make_relet_call(99)) == "ReletTooShort"
    ends = raw_user.chain.state.orders[key].end
    assert await raw_user.run_call(make_relet_call(101)) == "", (
        "no multiple of anything, whatever the wiki says"
    )
    assert raw_user.chain.state.orders[key].end == ends + 101
    assert await raw_user.run_call(make_relet_call(30 * DAY)) == ""
    assert raw_user.chain.state.orders[key].end == raw_user.chain.newest_block + 60 * DAY, (
        "cut, and paid for what is left"
    )
    stranger = RawChainUser(harness, await harness.make_funded_user())
    assert await stranger.run_call(make_relet_call(100)) == "NotMachineRenter"
    assert raw_user.user.ledger_units == raw_user.user.total_units


async def test_terminating_pays_the_share_that_passed(raw_user: RawChainUser) -> None:
    number = await raw_user.rent_order(TERMINATING_PALLET, blocks=900)
    assert await raw_user.run_call(RuntimeCall(pallet=TERMINATING_PALLET, verb="confirm", order=number)) == ""
    order = raw_user.chain.state.orders[TERMINATING_PALLET.rpc_prefix, number]
    assert raw_user.chain.state.account(raw_user.keypair.public).reserved == order.stake
    raw_user.advance_blocks(299)
    before = raw_user.user.total_units
    call = RuntimeCall(pallet=TERMINATING_PALLET, verb="terminate", order=number)
    fee = compute_network_fee(raw_user.sign_call(call))
    assert await raw_user.run_call(call) == ""
    passed = raw_user.chain.newest_block - order.start
    share = passed * 10**9 // 900
    assert before - raw_user.user.total_units - fee == round_half_down(order.stake * share, 10**9)
    assert raw_user.chain.state.account(raw_user.keypair.public).reserved == 0
    assert raw_user.user.ledger_units == raw_user.user.total_units


def round_half_down(value: int, by: int) -> int:
    return (2 * value + by - 1) // (2 * by)


async def test_an_order_runs_out_in_its_last_block(raw_user: RawChainUser) -> None:
    for pallet in (RENT_PALLET, TERMINATING_PALLET):
        number = await raw_user.rent_order(pallet, blocks=300)
        assert await raw_user.run_call(RuntimeCall(pallet=pallet, verb="confirm", order=number)) == ""
    raw_user.advance_blocks(400)
    await raw_user.harness.simulator.tick()
    assert raw_user.harness.list_orders() == []
    assert raw_user.chain.state.account(raw_user.keypair.public).reserved == 0
    assert {h.status for h in raw_user.chain.state.hosts.values()} == {"online"}
    assert raw_user.user.ledger_units == raw_user.user.total_units
