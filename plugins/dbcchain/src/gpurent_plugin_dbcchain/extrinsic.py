"""Signed extrinsics (version 4), the seven calls that rent machines, and why one failed; encoding and decoding.

Indices and arguments of the calls come from the runtime and both pallets. The signed extensions add to the body, in
this order: the era, the nonce, a tip, and the asset that fees are paid in (none: the native coin). To what is signed
they also add: the runtime's two versions, the genesis hash, and the hash of the era's first block.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from attrs import frozen

from gpurent_plugin_dbcchain import _
from gpurent_plugin_dbcchain.keys import Keypair, verify
from gpurent_plugin_dbcchain.scale import ScaleReader, encode_compact, encode_uint, encode_vec

Verb = Literal["rent", "confirm", "relet", "terminate"]
ERA_PERIOD = 64
_SIGNED_V4, _ACCOUNT_ID, _SR25519 = b"\x84", b"\0", b"\x01"
_MAX_RAW_PAYLOAD = 256
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
_RENT_INDEX, _MODULE_ERROR = 111, 3


@frozen(kw_only=True)
class Pallet:
    """A registry of machines with its own orders.

    ``name`` is its name in storage keys, ``rpc_prefix`` that of its RPC calls; ``machines_pallet`` and
    ``machines_rpc_prefix`` are the same for the pallet that knows the machines. ``is_refundable``: unused rent is
    refunded.
    """

    name: str
    rpc_prefix: str
    index: int
    call_indices: dict[Verb, int]
    machines_pallet: str
    machines_rpc_prefix: str
    is_refundable: bool


RENT_PALLET = Pallet(
    name="RentMachine",
    rpc_prefix="rentMachine",
    index=111,
    call_indices={"rent": 1, "confirm": 2, "relet": 3},
    machines_pallet="OnlineProfile",
    machines_rpc_prefix="onlineProfile",
    is_refundable=False,
)
TERMINATING_PALLET = Pallet(
    name="TerminatingRental",
    rpc_prefix="terminatingRental",
    index=113,
    call_indices={"rent": 10, "confirm": 11, "relet": 12, "terminate": 13},
    machines_pallet="TerminatingRental",
    machines_rpc_prefix="terminatingRental",
    is_refundable=True,
)
PALLETS = {pallet.rpc_prefix: pallet for pallet in (RENT_PALLET, TERMINATING_PALLET)}


@frozen(kw_only=True)
class RuntimeCall:
    """A call: ``machine`` and ``gpus`` for a rent, ``order`` for all others, ``blocks`` where time is bought."""

    pallet: Pallet
    verb: Verb
    machine: str = ""
    gpus: int = 0
    order: int = 0
    blocks: int = 0

    def encode(self) -> bytes:
        head = encode_uint(self.pallet.index, 1) + encode_uint(self.pallet.call_indices[self.verb], 1)
        if self.verb == "rent":
            return (
                head
                + encode_vec(self.machine.encode())
                + encode_uint(self.gpus, 4)
                + encode_uint(self.blocks, 4)
            )
        if self.verb == "relet":
            return head + encode_uint(self.order, 8) + encode_uint(self.blocks, 4)
        return head + encode_uint(self.order, 8)


def decode_call(data: bytes) -> RuntimeCall:
    """Decode the call in ``data``. Raises `ValueError` for another call or extra bytes."""
    read = ScaleReader(data)
    index, variant = read.read_uint(1), read.read_uint(1)
    for pallet in PALLETS.values():
        for verb, number in pallet.call_indices.items():
            if (pallet.index, number) == (index, variant):
                found = _decode_arguments(pallet, verb, read)
                read.check_end()
                return found
    raise ValueError(f"no call {variant} of pallet {index} is known here")


def _decode_arguments(pallet: Pallet, verb: Verb, read: ScaleReader) -> RuntimeCall:
    if verb == "rent":
        machine = read.read_vec().decode()
        return RuntimeCall(
            pallet=pallet, verb=verb, machine=machine, gpus=read.read_uint(4), blocks=read.read_uint(4)
        )
    order = read.read_uint(8)
    return RuntimeCall(
        pallet=pallet, verb=verb, order=order, blocks=read.read_uint(4) if verb == "relet" else 0
    )


@frozen(kw_only=True)
class ChainIdentity:
    """The chain that a signature is for: its runtime's ``spec_version`` and ``tx_version``, hashes of 32 bytes."""

    spec_version: int
    tx_version: int
    genesis: bytes


@frozen(kw_only=True)
class Era:
    """An extrinsic's validity: `ERA_PERIOD` blocks from block ``birth``, whose hash is ``birth_hash``."""

    birth: int
    birth_hash: bytes = b""

    @property
    def death(self) -> int:
        return self.birth + ERA_PERIOD

    def encode(self) -> bytes:
        return encode_uint(ERA_PERIOD.bit_length() - 2 | self.birth % ERA_PERIOD << 4, 2)


@frozen(kw_only=True)
class SignedExtrinsic:
    """The contents of an extrinsic."""

    public: bytes
    signature: bytes
    era: bytes
    nonce: int
    tip: int
    call: bytes


def _encode_extra(era: bytes, nonce: int, tip: int) -> bytes:
    return era + encode_compact(nonce) + encode_compact(tip) + b"\0"


def make_signing_payload(call: bytes, extra: bytes, identity: ChainIdentity, birth_hash: bytes) -> bytes:
    """Return the bytes to sign; long payloads are replaced by their hash."""
    found = (
        call
        + extra
        + encode_uint(identity.spec_version, 4)
        + encode_uint(identity.tx_version, 4)
        + identity.genesis
        + birth_hash
    )
    return hashlib.blake2b(found, digest_size=32).digest() if len(found) > _MAX_RAW_PAYLOAD else found


def build_extrinsic(
    keypair: Keypair, call: bytes, identity: ChainIdentity, era: Era, nonce: int, tip: int = 0
) -> bytes:
    """Return the complete extrinsic with its length prefix."""
    extra = _encode_extra(era.encode(), nonce, tip)
    return _assemble(
        keypair.public, keypair.sign(make_signing_payload(call, extra, identity, era.birth_hash)), extra, call
    )


def build_fake_extrinsic(public: bytes, call: bytes, nonce: int) -> bytes:
    """Return an extrinsic as long as the real one with a fake signature, to query its fee."""
    return _assemble(public, bytes(64), _encode_extra(Era(birth=1).encode(), nonce, 0), call)


def _assemble(public: bytes, signature: bytes, extra: bytes, call: bytes) -> bytes:
    return encode_vec(_SIGNED_V4 + _ACCOUNT_ID + public + _SR25519 + signature + extra + call)


def decode_extrinsic(data: bytes) -> SignedExtrinsic:
    """Decode an extrinsic. Raises `ValueError` if ``data`` has another format."""
    outer = ScaleReader(data)
    body = ScaleReader(outer.read_vec())
    outer.check_end()
    if body.read_bytes(2) != _SIGNED_V4 + _ACCOUNT_ID:
        raise ValueError("not a signed extrinsic of an account")
    public = body.read_bytes(32)
    if body.read_bytes(1) != _SR25519:
        raise ValueError("not an sr25519 signature")
    signature = body.read_bytes(64)
    era = body.read_bytes(1)
    if era != b"\0":
        era += body.read_bytes(1)
    nonce, tip = body.read_compact(), body.read_compact()
    if body.read_bytes(1) != b"\0":
        raise ValueError("fees are paid in the coin itself here")
    return SignedExtrinsic(
        public=public, signature=signature, era=era, nonce=nonce, tip=tip, call=body.remaining
    )


def is_signed_for(found: SignedExtrinsic, identity: ChainIdentity, birth_hash: bytes) -> bool:
    """Return whether the signature is valid for this chain and era."""
    message = make_signing_payload(
        found.call, _encode_extra(found.era, found.nonce, found.tip), identity, birth_hash
    )
    return verify(found.public, message, found.signature)


def decode_era(raw: bytes, current: int) -> tuple[int, int]:
    """Return birth and death of an encoded era as seen in block ``current``; an immortal one is born at genesis."""
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


def hash_extrinsic(data: bytes) -> str:
    return "0x" + hashlib.blake2b(data, digest_size=32).hexdigest()


def encode_failure(index: int, pallet: int, error: int) -> bytes:
    """Return the bytes in the event records that mark extrinsic ``index`` as failed."""
    return b"\0" + encode_uint(index, 4) + b"\0\x01" + bytes([_MODULE_ERROR, pallet, error, 0, 0, 0])


def find_failure(events: bytes, index: int) -> str:
    """Return the error's name (for another pallet, its numbers); empty if the events show no pallet error."""
    head = encode_failure(index, 0, 0)[:8]
    at = events.find(head)
    if at < 0 or len(events) < at + len(head) + 2:
        return ""
    pallet, error = events[at + len(head)], events[at + len(head) + 1]
    if pallet == _RENT_INDEX and error < len(RENT_ERRORS):
        return RENT_ERRORS[error]
    return _("error {error} in pallet {pallet}").format(error=error, pallet=pallet)
