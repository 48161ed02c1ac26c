"""What the sandbox's chain and its client node refuse, asked over their sockets by hand."""

from __future__ import annotations

from typing import Any

import pytest

from gpurent_plugin_dbcchain import extrinsic
from gpurent_plugin_dbcchain.extrinsic import RENT, TERMINATING, Call, Era, Pallet, failure
from gpurent_plugin_dbcchain.keys import Pair, check_encode
from gpurent_plugin_dbcchain.node import new_nonce
from gpurent_plugin_dbcchain.simulator.chain import fee_of
from gpurent_plugin_dbcchain.simulator.pallets import CallFailed, PalletRules
from plugins.dbcchain.tests.chain_harness import ChainHarness, ChainUser, chain_harness, dbc

DAY = 14_400


class Hand:
    """Signs calls and reads what the chain said, without anything of the wallet's."""

    def __init__(self, harness: ChainHarness, user: ChainUser) -> None:
        self.harness, self.user, self.chain, self.pair = harness, user, harness.chain, user.pair

    def signed(self, call: Call, **changes: Any) -> bytes:
        block = changes.pop("birth", self.chain.final)
        era = Era(birth=block, birth_hash=bytes.fromhex(self.chain.history.hash(block)[2:]))
        nonce = changes.pop("nonce", self.chain.next_nonce(self.pair.public))
        place = changes.pop("place", self.chain.place())
        return extrinsic.build(changes.pop("pair", self.pair), call.encode(), place, era, nonce)

    async def push(self, body: bytes) -> Any:
        answer = await self.harness.rpc("author_submitExtrinsic", "0x" + body.hex())
        return answer.get("error", answer.get("result"))

    async def do(self, call: Call) -> str:
        """Run ``call`` in the next block; the error's name, empty when it went well."""
        body = self.signed(call)
        answer = await self.push(body)
        assert isinstance(answer, str), answer
        await self.harness.later(seconds=6)
        block = self.chain.newest
        listed = self.chain.extrinsics(block)
        return failure(self.chain.history.events[block], listed.index(body))

    def machine(self, pallet: Pallet = RENT, gpus: int = 1) -> str:
        hosts = self.chain.state.hosts.values()
        return next(h.id for h in hosts if h.pallet == pallet and h.gpus >= gpus)

    def rent(self, blocks: int = 600, gpus: int = 1, pallet: Pallet = RENT, machine: str = "") -> Call:
        machine = machine or self.machine(pallet, gpus)
        return Call(pallet=pallet, verb="rent", machine=machine, gpus=gpus, blocks=blocks)

    async def rented(self, pallet: Pallet = RENT, blocks: int = 600) -> int:
        assert await self.do(self.rent(blocks, pallet=pallet)) == ""
        return max(number for (name, number) in self.chain.state.orders if name == pallet.rpc)

    def turn(self, blocks: int) -> None:
        self.harness.turn(seconds=6 * blocks)


@pytest.fixture
async def hand(harness: ChainHarness) -> Hand:
    return Hand(harness, await harness.funded_user())


# the pool


async def test_a_wrong_signature_is_refused(hand: Hand) -> None:
    body = bytearray(hand.signed(hand.rent()))
    body[60] ^= 1
    assert (await hand.push(bytes(body)))["data"] == "Transaction has a bad signature"
    stranger = Pair(hand.pair.public, (await hand.harness.funded_user()).pair.secret)
    assert (await hand.push(hand.signed(hand.rent(), pair=stranger)))["code"] == 1010
    assert hand.harness.orders() == []
    assert hand.user.total == dbc("5000")


@pytest.mark.parametrize(("spec", "tx", "genesis"), [(410, 2, None), (411, 1, None), (411, 2, b"\x01" * 32)])
async def test_a_signature_for_another_chain_is_refused(
    hand: Hand, spec: int, tx: int, genesis: bytes | None
) -> None:
    place = extrinsic.Place(spec=spec, tx=tx, genesis=genesis or hand.chain.place().genesis)
    answer = await hand.push(hand.signed(hand.rent(), place=place))
    assert answer["data"] == "Transaction has a bad signature"


async def test_a_reused_nonce_is_refused(hand: Hand) -> None:
    body = hand.signed(hand.rent())
    assert (await hand.push(body)) == extrinsic.hash_of(body)
    assert (await hand.push(body))["code"] == 1013, "already there"
    assert (await hand.push(hand.signed(hand.rent(300), nonce=0)))["code"] == 1014
    hand.turn(1)
    await hand.harness.simulator.tick()
    assert (await hand.push(body))["data"] == "Transaction is outdated"
    assert (await hand.push(hand.signed(hand.rent(300), nonce=0)))["data"] == "Transaction is outdated"
    hand.turn(5)
    assert len(hand.harness.orders()) == 1


async def test_an_extrinsic_dies_with_its_era(hand: Hand) -> None:
    body = hand.signed(hand.rent())
    hand.turn(extrinsic.PERIOD)
    assert (await hand.push(body))["data"] == "Transaction has a bad signature"
    late = hand.signed(hand.rent(), nonce=3)
    assert isinstance(await hand.push(late), str)
    hand.turn(extrinsic.PERIOD + 1)
    await hand.harness.simulator.tick()
    assert hand.chain.pool == []
    assert hand.harness.orders() == []


async def test_who_cannot_pay_the_networks_fee_is_refused(harness: ChainHarness) -> None:
    hand = Hand(harness, await harness.funded_user(money="0.0001"))
    assert "Inability to pay" in (await hand.push(hand.signed(hand.rent())))["data"]


# the rules


@pytest.mark.parametrize("blocks", [1, 299, 301, 599, 601])
async def test_only_half_hours(hand: Hand, blocks: int) -> None:
    body = hand.signed(hand.rent(blocks))
    assert await hand.do(hand.rent(blocks)) == "OnlyHalfHourAllowed"
    assert hand.user.total == dbc("5000") - fee_of(body), "the network's fee is gone, the order's is not"
    assert hand.user.booked == hand.user.total


async def test_the_rent_is_the_formulas(hand: Hand) -> None:
    number = await hand.rented()
    order = hand.chain.state.orders[RENT.rpc, number]
    assert order.stake == 104_166_500_000_000_000
    rent = order.stake
    assert hand.chain.state.account(hand.pair.public).reserved == rent
    assert await hand.do(Call(pallet=RENT, verb="confirm", order=number)) == ""
    assert hand.chain.state.account(hand.pair.public).reserved == 0
    fees = sum(line.amount.amount for line in hand.harness.simulator.ledger() if line.kind == "network")
    assert hand.user.total == dbc("5000") - dbc("10") - rent + fees
    assert hand.user.booked == hand.user.total


async def test_no_rent_is_longer_than_sixty_days(harness: ChainHarness) -> None:
    hand = Hand(harness, await harness.funded_user(money="1000000"))
    number = await hand.rented(blocks=61 * DAY)
    order = hand.chain.state.orders[RENT.rpc, number]
    assert order.end - order.start == 60 * DAY


async def test_a_confirmation_in_the_last_block_of_the_window_counts(hand: Hand) -> None:
    number = await hand.rented()
    order = hand.chain.state.orders[RENT.rpc, number]
    hand.turn(149 - (hand.chain.newest - order.start))
    assert await hand.do(Call(pallet=RENT, verb="confirm", order=number)) == ""
    assert hand.chain.state.orders[RENT.rpc, number].confirmed == order.start + 150


async def test_a_late_confirmation_is_refused_and_only_the_fee_is_lost(hand: Hand) -> None:
    number = await hand.rented()
    order = hand.chain.state.orders[RENT.rpc, number]
    held = hand.chain.state.account(hand.pair.public).reserved
    assert held == order.stake > 0
    hand.turn(150 - (hand.chain.newest - order.start))
    refusal = await hand.do(Call(pallet=RENT, verb="confirm", order=number))
    assert refusal == "Unknown", "at the end of the window's last block the order was dropped"
    purse = hand.chain.state.account(hand.pair.public)
    assert purse.reserved == 0
    lines = [(line.kind, line.amount.amount) for line in hand.harness.simulator.ledger()]
    assert [units for kind, units in lines if kind == "fee"] == [-dbc("10")]
    assert not [kind for kind, _units in lines if kind == "rent"]
    assert hand.user.booked == purse.free


async def test_the_late_confirmations_own_error_is_known_too(hand: Hand) -> None:
    """The chain drops the order in the same block; should it not, it says so."""
    number = await hand.rented()
    hand.chain.state.orders[RENT.rpc, number].start -= 200
    order = hand.chain.state.orders[RENT.rpc, number]
    order.end += 400
    rules = PalletRules(hand.chain.state, hand.chain.newest, lambda *_given: None)
    with pytest.raises(CallFailed, match="ExpiredConfirm"):
        rules.run(hand.pair.public, Call(pallet=RENT, verb="confirm", order=number))


async def test_a_taken_or_unreachable_machine_is_refused() -> None:
    async with chain_harness(taken="1", offline="1") as harness:
        hand = Hand(harness, await harness.funded_user())
        offline, taken = list(hand.chain.state.hosts.values())[-2:]
        assert await hand.do(hand.rent(machine=offline.id)) == "MachineNotRentable"
        error = await hand.do(hand.rent(machine=taken.id, pallet=TERMINATING))
        assert error == "error 12 of pallet 113"
        assert await hand.do(hand.rent(machine="00" * 32)) == "Unknown"
        assert harness.orders() == []


async def test_more_gpus_than_are_free_are_refused(hand: Hand) -> None:
    machine = hand.machine(RENT, gpus=4)
    assert await hand.do(hand.rent(machine=machine, gpus=3)) == ""
    assert await hand.do(hand.rent(machine=machine, gpus=2)) == "GPUNotEnough"
    assert await hand.do(hand.rent(machine=machine, gpus=1)) == ""


async def test_who_has_too_little_is_refused(harness: ChainHarness) -> None:
    poor, poorer = (
        Hand(harness, await harness.funded_user(money="50")),
        Hand(harness, await harness.funded_user(money="9")),
    )
    assert await poor.do(poor.rent()) == "InsufficientValue"
    assert await poorer.do(poorer.rent()) == "PayTxFeeFailed"
    assert dbc("49.99") < poor.user.total < dbc("50")


async def test_relet_needs_ten_minutes_and_ends_within_sixty_days(harness: ChainHarness) -> None:
    hand = Hand(harness, await harness.funded_user(money="1000000"))
    number = await hand.rented(blocks=59 * DAY)
    key = (RENT.rpc, number)

    def more(blocks: int) -> Call:
        return Call(pallet=RENT, verb="relet", order=number, blocks=blocks)

    assert await hand.do(more(100)) == "NoOrderExist", "not confirmed yet"
    assert await hand.do(Call(pallet=RENT, verb="confirm", order=number)) == ""
    assert await hand.do(more(99)) == "ReletTooShort"
    ends = hand.chain.state.orders[key].end
    assert await hand.do(more(101)) == "", "no multiple of anything, whatever the wiki says"
    assert hand.chain.state.orders[key].end == ends + 101
    assert await hand.do(more(30 * DAY)) == ""
    assert hand.chain.state.orders[key].end == hand.chain.newest + 60 * DAY, "cut, and paid for what is left"
    stranger = Hand(harness, await harness.funded_user())
    assert await stranger.do(more(100)) == "NotMachineRenter"
    assert hand.user.booked == hand.user.total


async def test_terminating_pays_the_share_that_passed(hand: Hand) -> None:
    number = await hand.rented(TERMINATING, blocks=900)
    assert await hand.do(Call(pallet=TERMINATING, verb="confirm", order=number)) == ""
    order = hand.chain.state.orders[TERMINATING.rpc, number]
    assert hand.chain.state.account(hand.pair.public).reserved == order.stake
    hand.turn(299)
    before = hand.user.total
    call = Call(pallet=TERMINATING, verb="terminate", order=number)
    fee = fee_of(hand.signed(call))
    assert await hand.do(call) == ""
    passed = hand.chain.newest - order.start
    share = passed * 10**9 // 900
    assert before - hand.user.total - fee == round_half_down(order.stake * share, 10**9)
    assert hand.chain.state.account(hand.pair.public).reserved == 0
    assert hand.user.booked == hand.user.total


def round_half_down(value: int, by: int) -> int:
    return (2 * value + by - 1) // (2 * by)


async def test_an_order_runs_out_in_its_last_block(hand: Hand) -> None:
    for pallet in (RENT, TERMINATING):
        number = await hand.rented(pallet, blocks=300)
        assert await hand.do(Call(pallet=pallet, verb="confirm", order=number)) == ""
    hand.turn(400)
    await hand.harness.simulator.tick()
    assert hand.harness.orders() == []
    assert hand.chain.state.account(hand.pair.public).reserved == 0
    assert {h.status for h in hand.chain.state.hosts.values()} == {"online"}
    assert hand.user.booked == hand.user.total


# the client node


async def asked(hand: Hand, number: int, path: str = "tasks", **changes: Any) -> Any:
    nonce = changes.pop("nonce", new_nonce())
    pair = changes.pop("pair", hand.pair)
    body = {
        "peer_nodes_list": [hand.machine()],
        "additional": {},
        "wallet": hand.pair.address,
        "nonce": nonce,
        "sign": pair.sign(nonce.encode()).hex(),
        "rent_order": str(number),
        **changes,
    }
    return await hand.harness.post(f"/api/v1/{path}", **body)


async def test_the_client_node_wants_a_fresh_nonce_signed_by_the_renter(hand: Hand) -> None:
    number = await hand.rented()
    nonce = new_nonce()
    assert (await asked(hand, number, nonce=nonce)) == {"errcode": 0, "message": []}
    assert (await asked(hand, number, nonce=nonce))["message"] == "nonce is already exist"
    stranger = await hand.harness.funded_user()
    wrong = stranger.pair
    assert (await asked(hand, number, pair=wrong))["message"] == "verify sign failed"
    theirs = await asked(hand, number, pair=wrong, wallet=wrong.address)
    assert theirs["message"] == "check authority failed: no running order"
    assert (await asked(hand, number + 1))["errcode"] == -1
    plain = check_encode(b"not a uuid")
    assert (await asked(hand, number, nonce=plain))["message"] == "verify sign failed"
    spoiled = (fresh := new_nonce())[:-1] + ("2" if fresh.endswith("1") else "1")
    assert (await asked(hand, number, nonce=spoiled))["errcode"] == -1
    sign = "0x" + hand.pair.sign((other := new_nonce()).encode()).hex()
    assert (await asked(hand, number, nonce=other, sign=sign))["errcode"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"gpu_count": 1},
        {"gpu_count": "2"},
        {"image_name": "none"},
        {"disk_size": "-1"},
        {"operation_system": "x"},
    ],
)
async def test_the_client_node_makes_no_odd_machine(hand: Hand, change: dict[str, Any]) -> None:
    number = await hand.rented()
    wish = {
        "image_name": "ubuntu-22.04-cuda-12.2.qcow2",
        "desc": "x",
        "operation_system": "linux",
        "gpu_count": "1",
        "cpu_cores": "2",
        "mem_size": "4",
        "disk_size": "100",
    }
    assert (await asked(hand, number, "tasks/start", additional={**wish, **change}))["errcode"] < 0
    assert (await asked(hand, number, "tasks/start", additional=wish))["errcode"] == 0


async def test_files_stay_ten_days_after_the_order(hand: Hand) -> None:
    number = await hand.rented()
    wish = {
        "image_name": "ubuntu-22.04-cuda-12.2.qcow2",
        "desc": "x",
        "operation_system": "linux",
        **dict.fromkeys(("gpu_count", "cpu_cores", "mem_size", "disk_size"), "1"),
    }
    await asked(hand, number, "tasks/start", additional=wish)
    assert await hand.do(Call(pallet=RENT, verb="confirm", order=number)) == ""
    hand.turn(20)
    await hand.harness.simulator.tick()
    assert len(hand.harness.machines.alive) == 1
    hand.turn(600)
    await hand.harness.simulator.tick()
    assert hand.harness.machines.alive == {}
    assert len(hand.harness.machines.disks) == 1
    await hand.harness.later(days=9, hours=23)
    assert len(hand.harness.machines.disks) == 1
    await hand.harness.later(hours=2)
    assert hand.harness.machines.disks == set()
