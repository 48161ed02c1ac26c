"""RIPEMD-160 for computers whose OpenSSL does not offer it; checked against its published vectors.

It only shortens a hash to an address here: no security depends on its strength alone.
"""

from __future__ import annotations

from collections.abc import Callable

_MASK = 0xFFFFFFFF
_INITIAL_STATE = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_PERMUTATION = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)


def _make_word_orders(first: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the order of message words for five rounds, each the previous one mapped by `_PERMUTATION`."""
    rounds = [first]
    for _round in range(4):
        rounds.append(tuple(_PERMUTATION[word] for word in rounds[-1]))
    return tuple(rounds)


_LEFT_ORDERS = _make_word_orders(tuple(range(16)))
_RIGHT_ORDERS = _make_word_orders(tuple((9 * word + 5) % 16 for word in range(16)))
# Left rotation of each message word, round by round.
_SHIFTS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
# The function that mixes three words, round by round.
_ROUND_FUNCTIONS: tuple[Callable[[int, int, int], int], ...] = (
    lambda x, y, z: x ^ y ^ z,
    lambda x, y, z: (x & y) | (~x & z),
    lambda x, y, z: (x | ~y) ^ z,
    lambda x, y, z: (x & z) | (y & ~z),
    lambda x, y, z: x ^ (y | ~z),
)
_LEFT_CONSTANTS = (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_CONSTANTS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0)


def _rotate_left(value: int, by: int) -> int:
    value &= _MASK
    return ((value << by) | (value >> (32 - by))) & _MASK


def _run_rounds(
    state: tuple[int, ...],
    words: list[int],
    orders: tuple[tuple[int, ...], ...],
    constants: tuple[int, ...],
    is_left: bool,
) -> tuple[int, ...]:
    a, b, c, d, e = state
    for number in range(5):
        mix = _ROUND_FUNCTIONS[number if is_left else 4 - number]
        for word in orders[number]:
            mixed = (
                _rotate_left(a + mix(b, c, d) + words[word] + constants[number], _SHIFTS[number][word]) + e
            )
            a, b, c, d, e = e, mixed & _MASK, b, _rotate_left(c, 10), d
    return a, b, c, d, e


def ripemd160(data: bytes) -> bytes:
    """Return the digest, 20 bytes."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + (8 * len(data)).to_bytes(8, "little")
    state: tuple[int, ...] = _INITIAL_STATE
    for begin in range(0, len(padded), 64):
        block = padded[begin : begin + 64]
        words = [int.from_bytes(block[i : i + 4], "little") for i in range(0, 64, 4)]
        one = _run_rounds(state, words, _LEFT_ORDERS, _LEFT_CONSTANTS, True)
        two = _run_rounds(state, words, _RIGHT_ORDERS, _RIGHT_CONSTANTS, False)
        state = tuple(
            (state[(i + 1) % 5] + one[(i + 2) % 5] + two[(i + 3) % 5]) & _MASK for i in range(5)
        )  # fmt: skip
    return b"".join(part.to_bytes(4, "little") for part in state)
