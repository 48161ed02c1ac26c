"""Where the chain keeps the few values that no call of its own gives: hashed storage keys, and their contents.

Sources: the pallets' storage declarations, and Substrate's own scheme: two xxHash64 of the pallet's and of the item's
name, then for a map the key's Blake2-128 and the key itself.
"""

from __future__ import annotations

import hashlib
from functools import cache

from attrs import frozen

from gpurent_plugin_dbcchain.scale import Reader, text

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_SHORT = 32


def _turn(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> 64 - by) & _MASK


def xxhash64(data: bytes, seed: int = 0) -> int:
    """xxHash64 of fewer than 32 bytes, which is what names of pallets and items are."""
    if len(data) >= _SHORT:
        raise ValueError("only for short names")
    found, at = seed + _P5 + len(data) & _MASK, 0
    while at + 8 <= len(data):
        lane = _turn(int.from_bytes(data[at : at + 8], "little") * _P2, 31) * _P1
        found = (_turn(found ^ lane & _MASK, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= len(data):
        lane = int.from_bytes(data[at : at + 4], "little") * _P1 & _MASK
        found = (_turn(found ^ lane, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        found = _turn(found ^ byte * _P5 & _MASK, 11) * _P1 & _MASK
    for shift, factor in ((33, _P2), (29, _P3)):
        found = (found ^ found >> shift) * factor & _MASK
    return found ^ found >> 32


@cache
def _twox128(name: str) -> bytes:
    data = name.encode()
    return b"".join(xxhash64(data, seed).to_bytes(8, "little") for seed in (0, 1))


def key(pallet: str, item: str, entry: bytes | None = None) -> str:
    """The storage key of a value, or of ``entry`` in a map, as the node takes it."""
    found = _twox128(pallet) + _twox128(item)
    if entry is not None:
        found += hashlib.blake2b(entry, digest_size=16).digest() + entry
    return "0x" + found.hex()


def account_key(public: bytes) -> str:
    return key("System", "Account", public)


def machine_key(pallet: str, item: str, machine: str) -> str:
    return key(pallet, item, text(machine.encode()))


EVENTS = key("System", "Events")
AVERAGE = key("DBCPriceOCW", "AvgPrice")
FIXED_FEE = key("GenericFunc", "FixedTxFee")


@frozen(kw_only=True)
class Account:
    """``free`` can be spent (but for locks), ``reserved`` is set aside; in the smallest unit."""

    nonce: int = 0
    free: int = 0
    reserved: int = 0

    @property
    def total(self) -> int:
        return self.free + self.reserved


def account(raw: bytes | None) -> Account:
    """``AccountInfo``: nonce and three counters of 32 bits, then free, reserved and two more amounts of 128 bits.

    An account that nobody ever paid to is not there at all.
    """
    if raw is None:
        return Account()
    read = Reader(raw)
    nonce, _consumers, _providers, _sufficients = (read.uint(4) for _count in range(4))
    free, reserved, _frozen, _flags = (read.uint(16) for _count in range(4))
    read.end()
    return Account(nonce=nonce, free=free, reserved=reserved)


def number(raw: bytes | None, size: int) -> int | None:
    """One unsigned integer of ``size`` bytes; None where nothing is stored."""
    if raw is None:
        return None
    read = Reader(raw)
    found = read.uint(size)
    read.end()
    return found


def standard_price(raw: bytes | None) -> tuple[int, int] | None:
    """Points and price (10^-6 USD a day) of the standard GPU."""
    if raw is None:
        return None
    read = Reader(raw)
    found = (read.uint(8), read.uint(8))
    read.end()
    return found
