"""The rule for a contact with a machine: whether it goes on, or who is asked first. Pure."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from gpurent.domain.access import AccessChannel, AccessSource, AddressKind, Endpoint


class PlaceState(Enum):
    """What a lease knows of a place, which is an address with its port.

    PINNED: its host key is pinned there, and shown. FIRST: it has pinned nothing yet. ORDERED: what it had pinned was
    before our own order gave it another machine. OTHER_PLACE: it has pinned other places. OTHER_KEY: it has pinned
    another host key there.
    """

    PINNED = "pinned"
    FIRST = "first"
    ORDERED = "ordered"
    OTHER_PLACE = "other-place"
    OTHER_KEY = "other-key"


class ContactDecision(Enum):
    """GO: at once. ASK_ONCE: in a terminal the user is asked; `-y` and unattended runs go on.

    ASK_ALWAYS: only a person can answer; `-y` does not.
    """

    GO = "go"
    ASK_ONCE = "ask-once"
    ASK_ALWAYS = "ask-always"


class Doubt(Enum):
    """Why only a person can decide."""

    UNAUTHENTICATED_MAIL = "unauthenticated-mail"
    UNAUTHENTICATED = "unauthenticated"
    OTHER_PLACE = "other-place"
    OTHER_KEY = "other-key"
    INNER_ADDRESS = "inner-address"


@frozen(kw_only=True)
class Contact:
    """``source`` is where the lease's access came from. ``address`` is where the endpoint's host leads now.

    ``uses_real_services``: this data folder is used with a real service, so it has no machines on this computer.
    """

    endpoint: Endpoint
    source: AccessSource
    place: PlaceState
    address: AddressKind
    uses_real_services: bool = False


def list_doubts(contact: Contact) -> tuple[Doubt, ...]:
    """Return why a person has to decide on this contact; empty if nobody has to."""
    if contact.place is PlaceState.PINNED:
        return ()
    found = []
    if not contact.source.is_proof_of(contact.endpoint):
        is_mail = contact.source.channel is AccessChannel.MAIL
        found.append(Doubt.UNAUTHENTICATED_MAIL if is_mail else Doubt.UNAUTHENTICATED)
    if contact.place is PlaceState.OTHER_PLACE:
        found.append(Doubt.OTHER_PLACE)
    if contact.place is PlaceState.OTHER_KEY:
        found.append(Doubt.OTHER_KEY)
    if not _may_lead_there(contact):
        found.append(Doubt.INNER_ADDRESS)
    return tuple(found)


def decide_contact(contact: Contact) -> ContactDecision:
    """Return whether to connect to a machine; what may be sent to it is decided elsewhere."""
    if list_doubts(contact):
        return ContactDecision.ASK_ALWAYS
    return ContactDecision.ASK_ONCE if contact.place is PlaceState.FIRST else ContactDecision.GO


def _may_lead_there(contact: Contact) -> bool:
    """Whether the address is one that this source may name: a mail or page may not name an inner one."""
    source = contact.source
    if contact.address is AddressKind.PUBLIC:
        return True
    if not source.is_proof_of(contact.endpoint):
        return False
    if source.channel is AccessChannel.USER:
        return True
    return contact.address is AddressKind.LOOPBACK and source.is_sandbox and not contact.uses_real_services
