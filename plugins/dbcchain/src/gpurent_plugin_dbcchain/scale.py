"""The needed parts of SCALE: integers and bytes, and the storage items that no RPC call of the node returns.

Sources: the pallets' storage declarations, and Substrate's scheme for hashed storage keys: two xxHash64 of the names of
the pallet and the item, then for a map the key's Blake2-128 and the key itself.
"""

from __future__ import annotations

import hashlib

from attrs import frozen

# Two xxHash64 of each name, with the seeds 0 and 1: the hashed names in storage keys.
HASHED_NAMES = {
    "System": "26aa394eea5630e07c48ae0c9558cef7",
    "Timestamp": "f0c365c3cf59d671eb72da0e7a4113c4",
    "DBCPriceOCW": "75881b72c41c5d7629208f0845dcbb61",
    "GenericFunc": "c969cab63ed30c7d2788ca5bd4b49788",
    "OnlineProfile": "2885a3060ddfd3ee4dcf7dfee867c9ac",
    "TerminatingRental": "ed8566e3f0805118c00827694d4f9ce9",
    "Account": "b99d880ec681799c0cf30e8886371da9",
    "Events": "80d41e5e16056765bc8461851072c9d7",
    "Now": "9f1f0515f462cdcf84e0f1d6045dfcbb",
    "AvgPrice": "2874c4df23e22c1bc0645934c2f9ee1d",
    "FixedTxFee": "ce0cfd73d795ab3dc64eeba0dbe980bc",
    "StandardGPUPointPrice": "1f255e835bfcea105e3ebc4977bd7e60",
    "MachineExtraPrice": "1988119d564bbcba47f4c89c4ffbbd77",
    "MachineRentedGPU": "95abf099c1dc04ba84c967bdae926d23",
}


def encode_uint(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def encode_compact(value: int) -> bytes:
    """Encode a compact integer in one, two, four or more bytes, by its size."""
    if value < 0:
        raise ValueError(f"{value} is below zero")
    if value < 1 << 6:
        return encode_uint(value << 2, 1)
    if value < 1 << 14:
        return encode_uint(value << 2 | 1, 2)
    if value < 1 << 30:
        return encode_uint(value << 2 | 2, 4)
    size = (value.bit_length() + 7) // 8
    return encode_uint(size - 4 << 2 | 3, 1) + encode_uint(value, size)


def encode_vec(data: bytes) -> bytes:
    """Encode ``Vec<u8>``: the length, then the bytes."""
    return encode_compact(len(data)) + data


class ScaleReader:
    """Reads values in sequence.

    Raises `ValueError` if data is missing or a compact integer is not in its shortest form.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def remaining(self) -> bytes:
        return self._data[self._at :]

    def read_bytes(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise ValueError("the bytes end too early")
        self._at += size
        return found

    def read_uint(self, size: int) -> int:
        return int.from_bytes(self.read_bytes(size), "little")

    def read_compact(self) -> int:
        begin = self._at
        mode = self._data[self._at] & 3 if self.remaining else 0
        value = self.read_uint(1 << mode) >> 2 if mode < 3 else self.read_uint((self.read_uint(1) >> 2) + 4)
        if encode_compact(value) != self._data[begin : self._at]:
            raise ValueError("a compact integer that is not the shortest")
        return value

    def read_vec(self) -> bytes:
        return self.read_bytes(self.read_compact())

    def check_end(self) -> None:
        if self.remaining:
            raise ValueError(f"{len(self.remaining)} bytes too many")


def storage_key(pallet: str, item: str, entry: bytes | None = None) -> str:
    """Return the storage key of a value, or of ``entry`` in a map, as the node expects it."""
    found = bytes.fromhex(HASHED_NAMES[pallet] + HASHED_NAMES[item])
    if entry is not None:
        found += hashlib.blake2b(entry, digest_size=16).digest() + entry
    return "0x" + found.hex()


def machine_storage_key(pallet: str, item: str, machine: str) -> str:
    return storage_key(pallet, item, encode_vec(machine.encode()))


EVENTS_KEY = storage_key("System", "Events")
AVERAGE_PRICE_KEY = storage_key("DBCPriceOCW", "AvgPrice")
FIXED_FEE_KEY = storage_key("GenericFunc", "FixedTxFee")


@frozen(kw_only=True)
class AccountInfo:
    """``free`` can be spent (except for locks), ``reserved`` is set aside; in the smallest unit."""

    nonce: int = 0
    free: int = 0
    reserved: int = 0

    @property
    def total(self) -> int:
        return self.free + self.reserved


def decode_account(raw: bytes | None) -> AccountInfo:
    """Decode ``AccountInfo``: nonce and three 32-bit counters, then free, reserved and two more 128-bit amounts.

    An account that never received anything does not exist in storage.
    """
    if raw is None:
        return AccountInfo()
    nonce, _consumers, _providers, _sufficients, free, reserved, _frozen, _flags = decode_uints(
        raw, 4, 4, 4, 4, 16, 16, 16, 16
    )
    return AccountInfo(nonce=nonce, free=free, reserved=reserved)


def decode_uint(raw: bytes | None, size: int) -> int | None:
    """Decode an unsigned integer of ``size`` bytes; None if nothing is stored."""
    return None if raw is None else decode_uints(raw, size)[0]


def decode_uints(raw: bytes, *sizes: int) -> list[int]:
    """Decode unsigned integers of these sizes in bytes, with nothing after them."""
    read = ScaleReader(raw)
    found = [read.read_uint(size) for size in sizes]
    read.check_end()
    return found
