"""A signed extrinsic, version 4, with this chain's signed extensions, to bytes and back.

In this order they add to the body: the era, the nonce, a tip, and the asset that fees are paid in (none: the coin
itself). To what is signed they also add: the runtime's two versions, the genesis, and the era's first block.
"""

from __future__ import annotations

import hashlib

from attrs import frozen

from gpurent_plugin_dbcchain.keys import Pair, verify
from gpurent_plugin_dbcchain.scale import Reader, compact, text, uint

PERIOD = 64
_SIGNED, _BY_ID, _SR25519 = b"\x84", b"\0", b"\x01"
_HASHED_ABOVE = 256


@frozen(kw_only=True)
class Place:
    """The chain that a signature is for: ``spec`` and ``tx`` versions of its runtime, hashes of 32 bytes."""

    spec: int
    tx: int
    genesis: bytes


@frozen(kw_only=True)
class Era:
    """Counts from block ``birth`` (its hash ``birth_hash``) for ``PERIOD`` blocks; never after that."""

    birth: int
    birth_hash: bytes = b""

    @property
    def death(self) -> int:
        return self.birth + PERIOD

    def encode(self) -> bytes:
        return uint(PERIOD.bit_length() - 2 | self.birth % PERIOD << 4, 2)


@frozen(kw_only=True)
class Signed:
    """What stands in an extrinsic."""

    public: bytes
    signature: bytes
    era: bytes
    nonce: int
    tip: int
    call: bytes


def _extra(era: bytes, nonce: int, tip: int) -> bytes:
    return era + compact(nonce) + compact(tip) + b"\0"


def payload(call: bytes, extra: bytes, place: Place, birth_hash: bytes) -> bytes:
    """The bytes that are signed; long ones by their hash."""
    found = call + extra + uint(place.spec, 4) + uint(place.tx, 4) + place.genesis + birth_hash
    return hashlib.blake2b(found, digest_size=32).digest() if len(found) > _HASHED_ABOVE else found


def build(pair: Pair, call: bytes, place: Place, era: Era, nonce: int, tip: int = 0) -> bytes:
    """The whole extrinsic, its length before it."""
    extra = _extra(era.encode(), nonce, tip)
    return _whole(pair.public, pair.sign(payload(call, extra, place, era.birth_hash)), extra, call)


def sketch(public: bytes, call: bytes, nonce: int) -> bytes:
    """As long as the real one, but signed by nobody: to ask what it would cost."""
    return _whole(public, bytes(64), _extra(Era(birth=1).encode(), nonce, 0), call)


def _whole(public: bytes, signature: bytes, extra: bytes, call: bytes) -> bytes:
    return text(_SIGNED + _BY_ID + public + _SR25519 + signature + extra + call)


def read(data: bytes) -> Signed:
    """What stands in ``data``; another shape: `ValueError`."""
    outer = Reader(data)
    body = Reader(outer.text())
    outer.end()
    if body.take(2) != _SIGNED + _BY_ID:
        raise ValueError("not a signed extrinsic of an account")
    public = body.take(32)
    if body.take(1) != _SR25519:
        raise ValueError("not an sr25519 signature")
    signature = body.take(64)
    era = body.take(1)
    if era != b"\0":
        era += body.take(1)
    nonce, tip = body.compact(), body.compact()
    if body.take(1) != b"\0":
        raise ValueError("fees are paid in the coin itself here")
    return Signed(public=public, signature=signature, era=era, nonce=nonce, tip=tip, call=body.rest)


def signed_for(found: Signed, place: Place, birth_hash: bytes) -> bool:
    """Whether the signature is right for this chain and era."""
    message = payload(found.call, _extra(found.era, found.nonce, found.tip), place, birth_hash)
    return verify(found.public, message, found.signature)


def era_of(raw: bytes, current: int) -> tuple[int, int]:
    """Birth and death of an encoded era as seen in block ``current``; an immortal one is born at genesis."""
    if raw == b"\0":
        return 0, 1 << 62
    value = int.from_bytes(raw, "little")
    period = 2 << value % 16
    step = max(1, period >> 12)
    phase = (value >> 4) * step
    if period < 4 or phase >= period:
        raise ValueError("no such era")
    birth = (max(current, phase) - phase) // period * period + phase
    return birth, birth + period


def hash_of(data: bytes) -> str:
    return "0x" + hashlib.blake2b(data, digest_size=32).hexdigest()
