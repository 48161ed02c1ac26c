"""Bytes and sums against published vectors, and against what other libraries made of the same values."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from hypothesis import given, strategies as st

from gpurent.api import AuthError, Secret
from gpurent_plugin_dbcchain import extrinsic, keys, price, scale
from gpurent_plugin_dbcchain.extrinsic import RENT, RENT_ERRORS, TERMINATING, Call, failed, failure
from gpurent_plugin_dbcchain.keys import pair_of, seed_of, verify
from gpurent_plugin_dbcchain.node import new_nonce
from gpurent_plugin_dbcchain.scale import Reader, compact
from gpurent_plugin_dbcchain.simulator.pallets import perbill, share_of

VECTORS = Path(__file__).with_name("vectors.json")
DEV = Secret("bottom drive obey lake curtain smoke basket hold race lonely fit walk")
SAMPLES = (
    (
        "5Dy8ULx1De6u3WE9ixpy1VKK2CVssvsjQT15qcmQsG662Zj4",
        "5q7KRn4d8EmXFFsim8vHBp23N2CpERbD2mWR3WCo1o3teZnGxYEh4N6",
        (
            "2460725b2f5e737cd810c773be61b9b27c3b9dbdac4af9cf25c7be9949ad7202"
            "a0b7467f71ad843888f482662d3ae2e4fa566d3c1930a3fa90f3dcb97ea4098d"
        ),
        b"a2abb402-29ae-4957-bf37-5961d529c1b8",
    ),
    (
        "5HgVTsXnUBmaL5F2RBjKmXMoAeG9Avuyk9tmgnnVx28u2ZrS",
        "5t1mv263Qpnu5tk5xPDk86oXGUX8yXaYGpAWj2n6gU45HNmsQqLaAU7",
        (
            "c494cc517f3c181fd7206d03175b5c0c29d162e53aa88c557887241d10445627"
            "2dc313501c8ae4e71dbcbae183942a119713974aff87aa1ef3870aa505be6384"
        ),
        b"b4b833e1-c586-47d5-a14b-df16296f8e97",
    ),
)
PLACE = extrinsic.Place(spec=411, tx=2, genesis=b"\x11" * 32)
CALLS = (
    Call(pallet=RENT, verb="rent", machine="ab" * 32, gpus=2, blocks=600),
    Call(pallet=RENT, verb="confirm", order=7),
    Call(pallet=RENT, verb="relet", order=1 << 40, blocks=100),
    Call(pallet=TERMINATING, verb="rent", machine="cd" * 32, gpus=1, blocks=300),
    Call(pallet=TERMINATING, verb="confirm", order=0),
    Call(pallet=TERMINATING, verb="relet", order=3, blocks=14_400),
    Call(pallet=TERMINATING, verb="terminate", order=(1 << 64) - 1),
)

# keys


def test_the_development_phrase_gives_its_published_seed_key_and_address() -> None:
    seed = "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e"
    pair = pair_of(DEV)
    assert seed_of(DEV).hex() == seed
    assert pair.public.hex() == "46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a"
    assert pair.address == "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
    assert pair_of(Secret("0x" + seed)) == pair
    assert keys.public_of(pair.address) == pair.public
    assert pair.secret.hex() not in repr(pair)


@pytest.mark.parametrize(
    "words", ["", "bottom", DEV.reveal() + " walk", DEV.reveal().replace("walk", "drive"), "0x12", "x//Alice"]
)
def test_what_is_no_key_is_refused(words: str) -> None:
    with pytest.raises(AuthError) as caught:
        pair_of(Secret(words))
    assert not words or words not in str(caught.value)


@pytest.mark.parametrize(("wallet", "nonce", "sign", "inside"), SAMPLES)
def test_the_client_nodes_published_samples_verify(wallet: str, nonce: str, sign: str, inside: bytes) -> None:
    public = keys.public_of(wallet)
    assert keys.check_decode(nonce) == inside
    assert keys.check_encode(inside) == nonce
    assert verify(public, nonce.encode(), bytes.fromhex(sign))
    assert not verify(public, inside, bytes.fromhex(sign)), "the text is signed, not what it stands for"
    assert not verify(public, nonce.encode(), bytes.fromhex(sign[:-2] + "00"))
    assert not verify(keys.public_of(SAMPLES[0][0]), SAMPLES[1][1].encode(), bytes.fromhex(sign))


def test_nonces_are_fresh_and_of_the_published_kind() -> None:
    made = {new_nonce() for _count in range(20)}
    assert len(made) == 20
    assert {len(keys.check_decode(nonce)) for nonce in made} == {36}


@given(st.binary(max_size=60))
def test_base58_comes_back(data: bytes) -> None:
    assert keys.base58_decode(keys.base58_encode(data)) == data
    assert keys.check_decode(keys.check_encode(data)) == data


@pytest.mark.parametrize(
    "text",
    ["", "5Dy8", SAMPLES[0][0][:-1] + "5", "0" + SAMPLES[0][0][1:], "1" * 48, "5" * 300],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        keys.public_of(text)


# SCALE


@pytest.mark.parametrize(
    ("value", "bytes_"),
    [
        (0, "00"),
        (1, "04"),
        (42, "a8"),
        (63, "fc"),
        (64, "0101"),
        (69, "1501"),
        (16383, "fdff"),
        (16384, "02000100"),
        (65535, "feff0300"),
        ((1 << 30) - 1, "feffffff"),
        (1 << 30, "0300000040"),
        (100000000000000, "0b00407a10f35a"),
    ],
)
def test_compact_integers_as_documented(value: int, bytes_: str) -> None:
    assert compact(value).hex() == bytes_
    assert Reader(bytes.fromhex(bytes_)).compact() == value


@given(st.integers(min_value=0, max_value=(1 << 536) - 1))
def test_compact_integers_come_back(value: int) -> None:
    read = Reader(compact(value))
    assert read.compact() == value
    read.end()


@pytest.mark.parametrize("raw", ["", "01", "0100", "02000000", "03", "0b00", "0300000000"])
def test_short_or_overlong_compact_integers_are_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Reader(bytes.fromhex(raw)).compact()


def test_storage_keys_as_published() -> None:
    assert scale.EVENTS == "0x26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7"
    alice = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")
    assert scale.storage_key("System", "Account", alice) == (
        "0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9"
        "de1e86a9a8c739864cf3cc5ec2bea59fd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
    )
    assert scale.storage_key("Timestamp", "Now") == (
        "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"
    )


def test_an_account_is_read() -> None:
    raw = "0300000000000000010000000000000000c06e31d91001000000000000000000"
    raw += "0080c6a47e8d030000000000000000000000000000000000000000000000000000000000000000000000000000000080"
    found = scale.account(bytes.fromhex(raw))
    assert found == scale.Account(nonce=3, free=300 * 10**12, reserved=10**15)
    assert scale.account(None) == scale.Account()
    with pytest.raises(ValueError, match=r".*"):
        scale.account(bytes.fromhex(raw + "00"))


# calls and extrinsics


@pytest.mark.parametrize("call", CALLS)
def test_calls_come_back(call: Call) -> None:
    assert extrinsic.decode_call(call.encode()) == call
    with pytest.raises(ValueError, match=r".*"):
        extrinsic.decode_call(call.encode() + b"\0")
    with pytest.raises(ValueError, match=r".*"):
        extrinsic.decode_call(call.encode()[:-1])


def test_calls_have_the_runtimes_own_numbers() -> None:
    assert CALLS[0].encode().hex() == "6f01" + "0101" + b"ab".hex() * 32 + "02000000" + "58020000"
    assert CALLS[1].encode().hex() == "6f02" + "0700000000000000"
    assert CALLS[2].encode().hex() == "6f03" + "0000000000010000" + "64000000"
    assert [call.encode()[:2].hex() for call in CALLS[3:]] == ["710a", "710b", "710c", "710d"]


@pytest.mark.parametrize(("current", "raw"), [(20, "4501"), (32, "0502"), (63, "f503"), (5_000_001, "1500")])
def test_an_era_counts_for_its_period(current: int, raw: str) -> None:
    era = extrinsic.Era(birth=current)
    assert era.encode().hex() == raw
    for block in (current, current + 1, current + extrinsic.PERIOD - 1):
        assert extrinsic.era_of(era.encode(), block) == (current, current + extrinsic.PERIOD)
    assert extrinsic.era_of(era.encode(), current + extrinsic.PERIOD)[0] == current + extrinsic.PERIOD


@pytest.mark.parametrize(
    ("raw", "block", "birth", "death"), [("1500", 1000, 961, 1025), ("00", 9, 0, 1 << 62)]
)
def test_other_eras_are_read(raw: str, block: int, birth: int, death: int) -> None:
    assert extrinsic.era_of(bytes.fromhex(raw), block) == (birth, death)


@pytest.mark.parametrize("call", CALLS)
def test_a_signature_is_for_one_chain_one_era_one_nonce_and_one_call(call: Call) -> None:
    pair, era = pair_of(DEV), extrinsic.Era(birth=77, birth_hash=b"\x22" * 32)
    body = extrinsic.build(pair, call.encode(), PLACE, era, nonce=5)
    found = extrinsic.read(body)
    assert (found.public, found.nonce, found.tip, found.call) == (pair.public, 5, 0, call.encode())
    assert extrinsic.signed_for(found, PLACE, era.birth_hash)
    assert not extrinsic.signed_for(found, PLACE, b"\x23" * 32)
    for other in (
        extrinsic.Place(spec=412, tx=2, genesis=PLACE.genesis),
        extrinsic.Place(spec=411, tx=3, genesis=PLACE.genesis),
        extrinsic.Place(spec=411, tx=2, genesis=b"\x12" * 32),
    ):
        assert not extrinsic.signed_for(found, other, era.birth_hash)
    assert len(extrinsic.sketch(pair.public, call.encode(), 5)) == len(body)
    assert not extrinsic.signed_for(
        extrinsic.read(extrinsic.sketch(pair.public, call.encode(), 5)), PLACE, era.birth_hash
    )


def test_long_payloads_are_signed_by_their_hash() -> None:
    long = extrinsic.payload(b"x" * 200, b"y", PLACE, b"z" * 32)
    whole = b"x" * 200 + b"y" + (411).to_bytes(4, "little") + (2).to_bytes(4, "little")
    assert long == hashlib.blake2b(whole + PLACE.genesis + b"z" * 32, digest_size=32).digest()


@given(st.binary(max_size=200))
def test_rubbish_is_no_extrinsic(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        extrinsic.read(data)


def test_why_an_extrinsic_failed() -> None:
    marks = b"\0\0\0\0\0\0\0" + failed(1, 111, RENT_ERRORS.index("ExpiredConfirm")) + failed(2, 113, 9)
    assert failure(marks, 0) == ""
    assert failure(marks, 1) == "ExpiredConfirm"
    assert failure(marks, 2) == "error 9 of pallet 113"
    assert failure(marks + b"\0\3\0\0\0\0\1\1", 3) == "", "no pallet's error"


# prices


def test_the_formulas_own_example_to_the_last_unit() -> None:
    assert 5_000_000 * 600 // 14_400 == 208_333
    assert price.rent(5_000_000, 600, 2000) == 104_166_500_000_000_000


def test_every_division_drops_its_rest() -> None:
    tariff = price.Tariff(standard=5_000_000, points=7, calc_point=3, gpus=3, extra=11)
    # 5e6*3*1e4//7 = 21428571428; one of three: 7142857142; //1e4: 714285; and 11 on top
    assert tariff.day(1) == 714_296
    assert tariff.day(2) == 1_428_571 + 22
    assert price.rent(714_296, 300, 1999) == 14_881 * 10**15 // 1999


@given(st.integers(0, 10**24), st.integers(0, 900_000), st.integers(1, 864_000))
def test_what_was_used_is_the_chains_share(stake: int, passed: int, whole: int) -> None:
    mine = price.used(stake, passed, whole)
    assert mine == share_of(perbill(passed, whole), stake)
    assert 0 <= mine <= stake


@pytest.mark.parametrize(
    ("stake", "passed", "whole", "left"),
    [(3, 1, 2, 1), (5, 1, 2, 2), (7, 2, 3, 5), (10**15, 1, 3, 333_333_333_000_000), (10, 9, 3, 10)],
)
def test_shares_round_as_perbill_does(stake: int, passed: int, whole: int, left: int) -> None:
    """A half goes down; a third is cut to nine digits before it is multiplied."""
    assert price.used(stake, passed, whole) == left


@pytest.mark.parametrize(
    ("term", "step", "blocks"),
    [
        (timedelta(hours=1), 300, 600),
        (timedelta(minutes=31), 300, 600),
        (timedelta(seconds=1), 300, 300),
        (timedelta(minutes=10), 1, 100),
        (timedelta(seconds=7), 1, 2),
    ],
)
def test_terms_are_rounded_up_to_blocks(term: timedelta, step: int, blocks: int) -> None:
    assert price.blocks_of(term, step) == blocks


# another library


@define
class Recorder:
    """Remembers what it was to sign."""

    public: bytes
    message: bytes = b""

    def sign(self, message: bytes) -> bytes:
        self.message = message
        return bytes(range(64))


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text())["vectors"])
def test_payload_and_extrinsic_equal_another_librarys(vector: dict[str, Any]) -> None:
    """The file says which library, and with what."""
    call = bytes.fromhex(vector["call"][2:])
    assert extrinsic.decode_call(call).encode() == call
    era = extrinsic.Era(birth=5_000_077, birth_hash=b"\x22" * 32)
    body = bytes.fromhex(vector["extrinsic"][2:])
    found = extrinsic.read(body)
    assert (found.era, found.nonce, found.tip, found.call) == (era.encode(), vector["nonce"], 0, call)
    assert found.signature == bytes(range(64))
    signer = Recorder(found.public)
    assert extrinsic.build(signer, call, PLACE, era, found.nonce) == body  # type: ignore[arg-type]
    assert signer.message.hex() == vector["payload"][2:]
