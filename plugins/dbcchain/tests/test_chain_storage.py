"""The hashed names in storage keys are the xxHash64 of the names."""

from __future__ import annotations

import pytest

from gpurent_plugin_dbcchain.scale import HASHED_NAMES

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotate_left(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> 64 - by) & _MASK


def _xxhash64(data: bytes, seed: int) -> int:
    """Return the xxHash64 of fewer than 32 bytes, which pallet and item names have."""
    assert len(data) < 32
    found, at = seed + _P5 + len(data) & _MASK, 0
    while at + 8 <= len(data):
        lane = _rotate_left(int.from_bytes(data[at : at + 8], "little") * _P2, 31) * _P1
        found = (_rotate_left(found ^ lane & _MASK, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= len(data):
        lane = int.from_bytes(data[at : at + 4], "little") * _P1 & _MASK
        found = (_rotate_left(found ^ lane, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        found = _rotate_left(found ^ byte * _P5 & _MASK, 11) * _P1 & _MASK
    for shift, factor in ((33, _P2), (29, _P3)):
        found = (found ^ found >> shift) * factor & _MASK
    return found ^ found >> 32


@pytest.mark.parametrize("name", HASHED_NAMES)
def test_each_name_is_hashed_with_two_seeds(name: str) -> None:
    halves = [_xxhash64(name.encode(), seed).to_bytes(8, "little") for seed in (0, 1)]
    assert HASHED_NAMES[name] == b"".join(halves).hex()
