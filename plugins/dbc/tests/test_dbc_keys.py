"""Keys and addresses: known vectors, checksums, hostile text."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, strategies as st

from gpurent.api import AuthError, Secret, UsageError
from gpurent_plugin_dbc.keys import (
    DbcAuthenticator,
    check_address,
    derive_address,
    derive_public_key,
    generate_private_key,
    sign,
    verify,
)
from gpurent_plugin_dbc.ripemd import ripemd160

# The provider's address of 2020, from the public web client: the only real address that we know.
REAL_ADDRESS = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
        (b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        (b"abcdefghijklmnopqrstuvwxyz", "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"),
        (b"1234567890" * 8, "9b752e45573d4b39f4dbd3323cab82bf63326bfb"),
    ],
)
def test_ripemd_gives_the_published_digests(text: bytes, digest: str) -> None:
    assert ripemd160(text).hex() == digest


def test_addresses_are_the_same_where_openssl_hides_ripemd(monkeypatch: pytest.MonkeyPatch) -> None:
    public = derive_public_key(generate_private_key())
    before = derive_address(public)

    def hide_ripemd(name: str, data: bytes = b"") -> None:
        raise ValueError(f"unsupported hash type {name}")

    monkeypatch.setattr(hashlib, "new", hide_ripemd)
    assert derive_address(public) == before


def test_the_real_address_passes_and_every_changed_letter_fails() -> None:
    assert check_address(REAL_ADDRESS) == REAL_ADDRESS
    for position, letter in enumerate(REAL_ADDRESS):
        other = "2" if letter != "2" else "3"
        with pytest.raises(UsageError):
            check_address(REAL_ADDRESS[:position] + other + REAL_ADDRESS[position + 1 :])


def test_a_new_key_makes_a_neo_address() -> None:
    address = derive_address(derive_public_key(generate_private_key()))
    assert address.startswith("A")
    assert len(address) == 34
    assert check_address(address) == address


@given(st.text(max_size=60))
def test_text_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        check_address(text)


def test_the_generator_point_has_its_known_key() -> None:
    # The base point of secp256r1, from the standard.
    one = Secret("0" * 63 + "1")
    assert derive_public_key(one) == "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"


@pytest.mark.parametrize("text", ["", "0" * 64, "f" * 64, "12", "g" * 64, "0x" + "1" * 64])
async def test_what_is_no_private_key_is_refused_unseen(text: str) -> None:
    with pytest.raises(AuthError) as refused:
        await DbcAuthenticator().log_in({"private_key": Secret(text)})
    assert not text or text not in str(refused.value)


async def test_first_use_makes_a_key_that_logs_in_again() -> None:
    role = DbcAuthenticator()
    credentials = await role.create_credentials()
    first = await role.log_in(credentials)
    again = await role.log_in({"private_key": Secret(credentials["private_key"].reveal().upper() + "\n")})
    assert first.account == again.account
    assert await role.is_valid(first)
    assert credentials["private_key"].reveal() not in repr(first)
    other = await role.log_in(await role.create_credentials())
    assert other.account != first.account


def test_a_signature_holds_for_its_text_and_key_only() -> None:
    key, other = generate_private_key(), generate_private_key()
    made = sign(key, "pay 1")
    assert verify(derive_public_key(key), "pay 1", made)
    assert not verify(derive_public_key(key), "pay 2", made)
    assert not verify(derive_public_key(other), "pay 1", made)
    assert not verify("00", "pay 1", made)
    assert not verify(derive_public_key(key), "pay 1", "zz")
