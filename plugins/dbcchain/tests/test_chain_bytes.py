"""Encodings and arithmetic, checked against published vectors and the results of other libraries."""

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
from gpurent_plugin_dbcchain.client_node import make_nonce
from gpurent_plugin_dbcchain.extrinsic import (
    RENT_ERRORS,
    RENT_PALLET,
    TERMINATING_PALLET,
    RuntimeCall,
    encode_failure,
    find_failure,
)
from gpurent_plugin_dbcchain.keys import derive_keypair, derive_seed, verify
from gpurent_plugin_dbcchain.scale import ScaleReader, encode_compact
from gpurent_plugin_dbcchain.simulator.pallets import apply_perbill, perbill

VECTORS = Path(__file__).with_name("vectors.json")
DEV_PHRASE = Secret("bottom drive obey lake curtain smoke basket hold race lonely fit walk")
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
IDENTITY = extrinsic.ChainIdentity(spec_version=411, tx_version=2, genesis=b"\x11" * 32)
CALLS = (
    RuntimeCall(pallet=RENT_PALLET, verb="rent", machine="ab" * 32, gpus=2, blocks=600),
    RuntimeCall(pallet=RENT_PALLET, verb="confirm", order=7),
    RuntimeCall(pallet=RENT_PALLET, verb="relet", order=1 << 40, blocks=100),
    RuntimeCall(pallet=TERMINATING_PALLET, verb="rent", machine="cd" * 32, gpus=1, blocks=300),
    RuntimeCall(pallet=TERMINATING_PALLET, verb="confirm", order=0),
    RuntimeCall(pallet=TERMINATING_PALLET, verb="relet", order=3, blocks=14_400),
    RuntimeCall(pallet=TERMINATING_PALLET, verb="terminate", order=(1 << 64) - 1),
)

# keys


def test_the_development_phrase_gives_its_published_seed_key_and_address() -> None:
    seed = "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e"
    pair = derive_keypair(DEV_PHRASE)
    assert derive_seed(DEV_PHRASE).hex() == seed
    assert pair.public.hex() == "46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a"
    assert pair.address == "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
    assert derive_keypair(Secret("0x" + seed)) == pair
    assert keys.ss58_decode(pair.address) == pair.public
    assert pair.secret.hex() not in repr(pair)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "bottom",
        DEV_PHRASE.reveal() + " walk",
        DEV_PHRASE.reveal().replace("walk", "drive"),
        "0x12",
        "x//Alice",
    ],
)
def test_what_is_no_key_is_refused(words: str) -> None:
    with pytest.raises(AuthError) as caught:
        derive_keypair(Secret(words))
    assert not words or words not in str(caught.value)


@pytest.mark.parametrize(("wallet", "nonce", "sign", "inside"), SAMPLES)
def test_the_client_nodes_published_samples_verify(wallet: str, nonce: str, sign: str, inside: bytes) -> None:
    public = keys.ss58_decode(wallet)
    assert keys.base58check_decode(nonce) == inside
    assert keys.base58check_encode(inside) == nonce
    assert verify(public, nonce.encode(), bytes.fromhex(sign))
    assert not verify(public, inside, bytes.fromhex(sign)), "the text is signed, not what it stands for"
    assert not verify(public, nonce.encode(), bytes.fromhex(sign[:-2] + "00"))
    assert not verify(keys.ss58_decode(SAMPLES[0][0]), SAMPLES[1][1].encode(), bytes.fromhex(sign))


def test_nonces_are_fresh_and_of_the_published_kind() -> None:
    made = {make_nonce() for _count in range(20)}
    assert len(made) == 20
    assert {len(keys.base58check_decode(nonce)) for nonce in made} == {36}


@given(st.binary(max_size=60))
def test_base58_comes_back(data: bytes) -> None:
    assert keys.base58_decode(keys.base58_encode(data)) == data
    assert keys.base58check_decode(keys.base58check_encode(data)) == data


@pytest.mark.parametrize(
    "text",
    ["", "5Dy8", SAMPLES[0][0][:-1] + "5", "0" + SAMPLES[0][0][1:], "1" * 48, "5" * 300],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        keys.ss58_decode(text)


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
    assert encode_compact(value).hex() == bytes_
    assert ScaleReader(bytes.fromhex(bytes_)).read_compact() == value


@given(st.integers(min_value=0, max_value=(1 << 536) - 1))
def test_compact_integers_come_back(value: int) -> None:
    read = ScaleReader(encode_compact(value))
    assert read.read_compact() == value
    read.check_end()


@pytest.mark.parametrize("raw", ["", "01", "0100", "02000000", "03", "0b00", "0300000000"])
def test_short_or_overlong_compact_integers_are_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ScaleReader(bytes.fromhex(raw)).read_compact()


def test_storage_keys_as_published() -> None:
    assert scale.EVENTS_KEY == "0x26aa394eea5630e07c48ae0c9558cef780d41e5e16056765bc8461851072c9d7"
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
    found = scale.decode_account(bytes.fromhex(raw))
    assert found == scale.AccountInfo(nonce=3, free=300 * 10**12, reserved=10**15)
    assert scale.decode_account(None) == scale.AccountInfo()
    with pytest.raises(ValueError, match=r".*"):
        scale.decode_account(bytes.fromhex(raw + "00"))


# calls and extrinsics


@pytest.mark.parametrize("call", CALLS)
def test_calls_come_back(call: RuntimeCall) -> None:
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
    for block in (current, current + 1, current + extrinsic.ERA_PERIOD - 1):
        assert extrinsic.decode_era(era.encode(), block) == (current, current + extrinsic.ERA_PERIOD)
    assert (
        extrinsic.decode_era(era.encode(), current + extrinsic.ERA_PERIOD)[0]
        == current + extrinsic.ERA_PERIOD
    )


@pytest.mark.parametrize(
    ("raw", "block", "birth", "death"), [("1500", 1000, 961, 1025), ("00", 9, 0, 1 << 62)]
)
def test_other_eras_are_read(raw: str, block: int, birth: int, death: int) -> None:
    assert extrinsic.decode_era(bytes.fromhex(raw), block) == (birth, death)


@pytest.mark.parametrize("call", CALLS)
def test_a_signature_is_for_one_chain_one_era_one_nonce_and_one_call(call: RuntimeCall) -> None:
    pair, era = derive_keypair(DEV_PHRASE), extrinsic.Era(birth=77, birth_hash=b"\x22" * 32)
    body = extrinsic.build_extrinsic(pair, call.encode(), IDENTITY, era, nonce=5)
    found = extrinsic.decode_extrinsic(body)
    assert (found.public, found.nonce, found.tip, found.call) == (pair.public, 5, 0, call.encode())
    assert extrinsic.is_signed_for(found, IDENTITY, era.birth_hash)
    assert not extrinsic.is_signed_for(found, IDENTITY, b"\x23" * 32)
    for other in (
        extrinsic.ChainIdentity(spec_version=412, tx_version=2, genesis=IDENTITY.genesis),
        extrinsic.ChainIdentity(spec_version=411, tx_version=3, genesis=IDENTITY.genesis),
        extrinsic.ChainIdentity(spec_version=411, tx_version=2, genesis=b"\x12" * 32),
    ):
        assert not extrinsic.is_signed_for(found, other, era.birth_hash)
    assert len(extrinsic.build_fake_extrinsic(pair.public, call.encode(), 5)) == len(body)
    assert not extrinsic.is_signed_for(
        extrinsic.decode_extrinsic(extrinsic.build_fake_extrinsic(pair.public, call.encode(), 5)),
        IDENTITY,
        era.birth_hash,
    )


def test_long_payloads_are_signed_by_their_hash() -> None:
    long = extrinsic.make_signing_payload(b"x" * 200, b"y", IDENTITY, b"z" * 32)
    whole = b"x" * 200 + b"y" + (411).to_bytes(4, "little") + (2).to_bytes(4, "little")
    assert long == hashlib.blake2b(whole + IDENTITY.genesis + b"z" * 32, digest_size=32).digest()


@given(st.binary(max_size=200))
def test_random_bytes_are_no_extrinsic(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        extrinsic.decode_extrinsic(data)


def test_why_an_extrinsic_failed() -> None:
    marks = (
        b"\0\0\0\0\0\0\0"
        + encode_failure(1, 111, RENT_ERRORS.index("ExpiredConfirm"))
        + encode_failure(2, 113, 9)
    )
    assert find_failure(marks, 0) == ""
    assert find_failure(marks, 1) == "ExpiredConfirm"
    assert find_failure(marks, 2) == "error 9 in pallet 113"
    assert find_failure(marks + b"\0\3\0\0\0\0\1\1", 3) == "", "no pallet's error"


# prices


def test_the_formulas_own_example_to_the_last_unit() -> None:
    assert 5_000_000 * 600 // 14_400 == 208_333
    assert price.compute_rent(5_000_000, 600, 2000) == 104_166_500_000_000_000


def test_every_division_drops_its_rest() -> None:
    tariff = price.MachineTariff(standard=5_000_000, points=7, calc_point=3, gpus=3, extra=11)
    # 5e6*3*1e4//7 = 21428571428; one of three: 7142857142; //1e4: 714285; plus 11
    assert tariff.price_per_day(1) == 714_296
    assert tariff.price_per_day(2) == 1_428_571 + 22
    assert price.compute_rent(714_296, 300, 1999) == 14_881 * 10**15 // 1999


@given(st.integers(0, 10**24), st.integers(0, 900_000), st.integers(1, 864_000))
def test_what_was_used_is_the_chains_share(stake: int, passed: int, whole: int) -> None:
    used = price.compute_cost(stake, passed, whole)
    assert used == apply_perbill(perbill(passed, whole), stake)
    assert 0 <= used <= stake


@pytest.mark.parametrize(
    ("stake", "passed", "whole", "left"),
    [(3, 1, 2, 1), (5, 1, 2, 2), (7, 2, 3, 5), (10**15, 1, 3, 333_333_333_000_000), (10, 9, 3, 10)],
)
def test_shares_round_as_perbill_does(stake: int, passed: int, whole: int, left: int) -> None:
    """Halves round down; a third is cut to nine digits before the multiplication."""
    assert price.compute_cost(stake, passed, whole) == left


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
    assert price.to_blocks(term, step) == blocks


# another library's results


@define
class RecordingSigner:
    """Records what it has to sign."""

    public: bytes
    message: bytes = b""

    def sign(self, message: bytes) -> bytes:
        self.message = message
        return bytes(range(64))


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text())["vectors"])
def test_payload_and_extrinsic_match_another_library(vector: dict[str, Any]) -> None:
    """The vectors' file names the library and its version."""
    call = bytes.fromhex(vector["call"][2:])
    assert extrinsic.decode_call(call).encode() == call
    era = extrinsic.Era(birth=5_000_077, birth_hash=b"\x22" * 32)
    body = bytes.fromhex(vector["extrinsic"][2:])
    found = extrinsic.decode_extrinsic(body)
    assert (found.era, found.nonce, found.tip, found.call) == (era.encode(), vector["nonce"], 0, call)
    assert found.signature == bytes(range(64))
    signer = RecordingSigner(found.public)
    assert extrinsic.build_extrinsic(signer, call, IDENTITY, era, found.nonce) == body  # type: ignore[arg-type]
    assert signer.message.hex() == vector["payload"][2:]
