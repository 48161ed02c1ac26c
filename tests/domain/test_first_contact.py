"""The rule for contacts with machines, as a table."""

from __future__ import annotations

import pytest
from attrs import evolve

from gpurent.domain.access import (
    USER_SOURCE,
    AccessChannel,
    AccessSource,
    AddressKind,
    Endpoint,
    classify_address,
)
from gpurent.domain.first_contact import (
    Contact,
    ContactDecision,
    Doubt,
    PlaceState,
    decide_contact,
    list_doubts,
)

ENDPOINT = Endpoint("root", "machine.example", 10022)
SERVICE = AccessSource(channel=AccessChannel.SERVICE, is_authenticated=True, endpoint=ENDPOINT)
MAIL = evolve(SERVICE, channel=AccessChannel.MAIL)
USER = USER_SOURCE.vouch_for(ENDPOINT)
SANDBOX = evolve(SERVICE, is_sandbox=True)
GO, ONCE, ALWAYS = ContactDecision.GO, ContactDecision.ASK_ONCE, ContactDecision.ASK_ALWAYS
NEW_PLACES = [place for place in PlaceState if place is not PlaceState.PINNED]


def make_contact(
    source: AccessSource,
    place: PlaceState = PlaceState.FIRST,
    address: AddressKind = AddressKind.PUBLIC,
    *,
    real: bool = False,
) -> Contact:
    return Contact(endpoint=ENDPOINT, source=source, place=place, address=address, uses_real_services=real)


@pytest.mark.parametrize("source", [SERVICE, MAIL, USER, SANDBOX])
def test_authenticated_access_asks_once_and_after_our_own_order_not_again(source: AccessSource) -> None:
    assert decide_contact(make_contact(source)) is ONCE
    assert decide_contact(make_contact(source, PlaceState.ORDERED)) is GO
    assert decide_contact(make_contact(source, PlaceState.OTHER_PLACE)) is ALWAYS
    assert decide_contact(make_contact(source, PlaceState.OTHER_KEY)) is ALWAYS


@pytest.mark.parametrize("place", NEW_PLACES)
@pytest.mark.parametrize("address", AddressKind)
@pytest.mark.parametrize(
    "source",
    [
        AccessSource(),
        AccessSource(endpoint=ENDPOINT),
        evolve(MAIL, is_authenticated=False),
        evolve(SANDBOX, is_authenticated=False),
        evolve(SERVICE, endpoint=None),
        SERVICE.vouch_for(Endpoint("root", "other.example", 10022)),
        SERVICE.vouch_for(Endpoint("root", "machine.example", 10023)),
        SERVICE.vouch_for(Endpoint("admin", "machine.example", 10022)),
    ],
)
def test_anything_else_asks_always(source: AccessSource, place: PlaceState, address: AddressKind) -> None:
    assert decide_contact(make_contact(source, place, address)) is ALWAYS


@pytest.mark.parametrize("place", NEW_PLACES)
@pytest.mark.parametrize("address", [AddressKind.PRIVATE, AddressKind.LOOPBACK])
@pytest.mark.parametrize("source", [SERVICE, MAIL])
def test_a_mail_or_page_may_not_name_an_inner_address(
    source: AccessSource, place: PlaceState, address: AddressKind
) -> None:
    assert decide_contact(make_contact(source, place, address)) is ALWAYS
    assert Doubt.INNER_ADDRESS in list_doubts(make_contact(source, place, address))


def test_the_user_may_name_any_address() -> None:
    for address in AddressKind:
        assert decide_contact(make_contact(USER, address=address)) is ONCE


def test_a_sandbox_has_machines_on_this_computer_and_nowhere_else_inside() -> None:
    assert decide_contact(make_contact(SANDBOX, address=AddressKind.LOOPBACK)) is ONCE
    assert decide_contact(make_contact(SANDBOX, address=AddressKind.PRIVATE)) is ALWAYS
    assert decide_contact(make_contact(SANDBOX, address=AddressKind.LOOPBACK, real=True)) is ALWAYS


def test_a_pinned_place_that_shows_its_key_is_no_question() -> None:
    for source in (AccessSource(), SERVICE, MAIL):
        for address in AddressKind:
            assert decide_contact(make_contact(source, PlaceState.PINNED, address)) is GO


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", AddressKind.PUBLIC),
        ("116.85.24.172", AddressKind.PUBLIC),
        ("2400:3200::1", AddressKind.PUBLIC),
        ("127.0.0.1", AddressKind.LOOPBACK),
        ("127.9.9.9", AddressKind.LOOPBACK),
        ("0.0.0.0", AddressKind.LOOPBACK),
        ("::1", AddressKind.LOOPBACK),
        ("::", AddressKind.LOOPBACK),
        ("::ffff:127.0.0.1", AddressKind.LOOPBACK),
        ("10.1.2.3", AddressKind.PRIVATE),
        ("172.16.0.1", AddressKind.PRIVATE),
        ("192.168.1.1", AddressKind.PRIVATE),
        ("100.64.0.1", AddressKind.PRIVATE),
        ("169.254.169.254", AddressKind.PRIVATE),
        ("224.0.1.1", AddressKind.PRIVATE),
        ("255.255.255.255", AddressKind.PRIVATE),
        ("fe80::1", AddressKind.PRIVATE),
        ("fe80::1%eth0", AddressKind.PRIVATE),
        ("fd00::1", AddressKind.PRIVATE),
        ("ff02::1", AddressKind.PRIVATE),
        ("::ffff:169.254.169.254", AddressKind.PRIVATE),
        ("2002:7f00:1::", AddressKind.LOOPBACK),
        ("2002:a01:203::", AddressKind.PRIVATE),
        ("64:ff9b::10.0.0.1", AddressKind.PRIVATE),
        ("64:ff9b::127.0.0.1", AddressKind.LOOPBACK),
        ("64:ff9b::8.8.8.8", AddressKind.PUBLIC),
        ("::ffff:8.8.8.8", AddressKind.PUBLIC),
    ],
)
def test_addresses_are_classified_by_where_they_lead(address: str, kind: AddressKind) -> None:
    assert classify_address(address) is kind


def test_a_name_is_no_address() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        classify_address("machine.example")
