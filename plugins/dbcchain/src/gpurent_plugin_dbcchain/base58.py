"""Base58 and what is built on it: SS58 addresses, and the Base58Check of the client node's nonces."""

from __future__ import annotations

import hashlib

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PREFIX = 42
_KEY = 32


def encode(data: bytes) -> str:
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def decode(text: str) -> bytes:
    """The bytes of ``text``; another letter, or far too long: `ValueError`."""
    if len(text) > 200:
        raise ValueError("too long")
    number = 0
    for letter in text:
        number = number * 58 + _ALPHABET.index(letter)
    body = number.to_bytes((number.bit_length() + 7) // 8)
    return b"\0" * (len(text) - len(text.lstrip("1"))) + body


def check_encode(payload: bytes) -> str:
    return encode(payload + _double(payload))


def check_decode(text: str) -> bytes:
    """The payload of a Base58Check; a wrong sum: `ValueError`."""
    raw = decode(text)
    if len(raw) < 4 or _double(raw[:-4]) != raw[-4:]:
        raise ValueError("the check sum is wrong")
    return raw[:-4]


def _double(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]


def address(public: bytes) -> str:
    """The SS58 address of a public key with the chain's prefix."""
    body = bytes([PREFIX]) + public
    return encode(body + _ss58_sum(body))


def public_of(text: str) -> bytes:
    """The public key in an address of this chain; anything else: `ValueError`."""
    raw = decode(text)
    if len(raw) != _KEY + 3 or raw[0] != PREFIX or _ss58_sum(raw[:-2]) != raw[-2:]:
        raise ValueError(f"not an address of this chain: {text[:60]!r}")
    return raw[1:-2]


def _ss58_sum(body: bytes) -> bytes:
    return hashlib.blake2b(b"SS58PRE" + body).digest()[:2]
