"""Whether an extrinsic failed, and why: read from its own mark among a block's events.

Events of other pallets cannot be skipped without the runtime's description, so the mark is searched for as bytes:
the extrinsic's number in the block, then the System pallet's event ``ExtrinsicFailed`` with a module's error.
Only a name for people comes from here; what an order did is read from the chain's state.
"""

from __future__ import annotations

from gpurent_plugin_dbcchain.scale import uint

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
