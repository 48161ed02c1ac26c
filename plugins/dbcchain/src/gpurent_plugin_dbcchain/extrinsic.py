"""Signed extrinsics (version 4), the seven calls in them that rent machines, and why one failed; to bytes and back.

Indices and arguments of the calls: the runtime and both pallets. The signed extensions add to the body, in this order:
the era, the nonce, a tip, and the asset that fees are paid in (none: the coin itself). To what is signed they also
add: the runtime's two versions, the genesis, and the era's first block.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from attrs import frozen

from gpurent_plugin_dbcchain.keys import Pair, verify
from gpurent_plugin_dbcchain.scale import Reader, compact, text, uint

Verb = Literal["rent", "confirm", "relet", "terminate"]
PERIOD = 64
_SIGNED, _BY_ID, _SR25519 = b"\x84", b"\0", b"\x01"
_HASHED_ABOVE = 256
RENT_ERRORS = (
    "AccountAlreadyExist",
    "MachineNotRentable",
    "Overflow",
    "InsufficientValue",
    "ExpiredConfirm",
    "NoOrderExist",
    "StatusNotAllowed",
    "UnlockToPayFeeFailed",
    "UndefinedRentPot",
    "PayTxFeeFailed",
    "GetMachinePriceFailed",
    "OnlyHalfHourAllowed",
    "GPUNotEnough",
    "NotMachineRenter",
    "Unknown",
    "ReletTooShort",
    "NotMachineOwner",
    "SignVerifiedFailed",
    "MachineNotRented",
    "MachineNotFound",
    "MoreThanOneRenter",
    "OutOfRentalSchedule",
)
_RENT, _MODULE = 111, 3


@frozen(kw_only=True)
class Pallet:
    """A registry of machines with its own orders.

    ``name`` stands in its storage keys, ``rpc`` before its calls; ``machines`` and ``listing`` likewise for the pallet
    that knows the machines. ``refunds``: what was not used comes back.
    """

    name: str
    rpc: str
    index: int
    verbs: dict[Verb, int]
    machines: str
    listing: str
    refunds: bool


RENT = Pallet(
    name="RentMachine",
    rpc="rentMachine",
    index=111,
    verbs={"rent": 1, "confirm": 2, "relet": 3},
    machines="OnlineProfile",
    listing="onlineProfile",
    refunds=False,
)
TERMINATING = Pallet(
    name="TerminatingRental",
    rpc="terminatingRental",
    index=113,
    verbs={"rent": 10, "confirm": 11, "relet": 12, "terminate": 13},
    machines="TerminatingRental",
    listing="terminatingRental",
    refunds=True,
)
PALLETS = {pallet.rpc: pallet for pallet in (RENT, TERMINATING)}


@frozen(kw_only=True)
class Call:
    """``machine`` and ``gpus`` of a rent; ``order`` of everything else; ``blocks`` where time is bought."""

    pallet: Pallet
    verb: Verb
    machine: str = ""
    gpus: int = 0
    order: int = 0
    blocks: int = 0

    def encode(self) -> bytes:
        head = uint(self.pallet.index, 1) + uint(self.pallet.verbs[self.verb], 1)
        if self.verb == "rent":
            return head + text(self.machine.encode()) + uint(self.gpus, 4) + uint(self.blocks, 4)
        if self.verb == "relet":
            return head + uint(self.order, 8) + uint(self.blocks, 4)
        return head + uint(self.order, 8)


def decode_call(data: bytes) -> Call:
    """The call in ``data``; another call, or bytes too many: `ValueError`."""
    read = Reader(data)
    index, variant = read.uint(1), read.uint(1)
    for pallet in PALLETS.values():
        for verb, number in pallet.verbs.items():
            if (pallet.index, number) == (index, variant):
                found = _arguments(pallet, verb, read)
                read.end()
                return found
    raise ValueError(f"no call {variant} of pallet {index} is known here")


def _arguments(pallet: Pallet, verb: Verb, read: Reader) -> Call:
    if verb == "rent":
        machine = read.text().decode()
        return Call(pallet=pallet, verb=verb, machine=machine, gpus=read.uint(4), blocks=read.uint(4))
    order = read.uint(8)
    return Call(pallet=pallet, verb=verb, order=order, blocks=read.uint(4) if verb == "relet" else 0)


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


def failed(index: int, pallet: int, error: int) -> bytes:
    """The mark's first bytes."""
    return b"\0" + uint(index, 4) + b"\0\x01" + bytes([_MODULE, pallet, error, 0, 0, 0])


def failure(events: bytes, index: int) -> str:
    """The error's name (for the other pallet its number); empty when no pallet's error is found."""
    head = failed(index, 0, 0)[:8]
    at = events.find(head)
    if at < 0 or len(events) < at + len(head) + 2:
        return ""
    pallet, error = events[at + len(head)], events[at + len(head) + 1]
    if pallet == _RENT and error < len(RENT_ERRORS):
        return RENT_ERRORS[error]
    return f"error {error} of pallet {pallet}"
