"""How to reach a rented machine, and what is installed on it."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import Enum
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from attrs import evolve, field, frozen

from gpurent.domain.ssh_names import HOST, USER
from gpurent.errors import UsageError
from gpurent.locale import _


def is_loopback(host: str) -> bool:
    """Return whether a host name or address refers to this computer."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class AddressKind(Enum):
    """Where a numeric address leads. LOOPBACK: this computer. PRIVATE: whatever else the public network cannot reach.

    PRIVATE has the local network, link-local addresses with a cloud's metadata service, carrier NAT, multicast.
    """

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"


def classify_address(address: str) -> AddressKind:
    """Return the kind of a numeric address; raises `ValueError` for a name.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, Teredo, NAT64) leads where that one leads.
    """
    found = ip_address(address.partition("%")[0])
    parts: list[IPv4Address | IPv6Address] = [*_list_embedded(found)]
    kinds = {_classify_plain(part) for part in parts or [found]}
    for kind in (AddressKind.LOOPBACK, AddressKind.PRIVATE):
        if kind in kinds:
            return kind
    return AddressKind.PUBLIC


def _classify_plain(found: IPv4Address | IPv6Address) -> AddressKind:
    # 0.0.0.0 and :: are this computer too.
    if found.is_loopback or found.is_unspecified:
        return AddressKind.LOOPBACK
    is_public = found.is_global and not (found.is_multicast or found.is_reserved or found.is_link_local)
    return AddressKind.PUBLIC if is_public else AddressKind.PRIVATE


_NAT64_PREFIX = int(IPv6Address("64:ff9b::")) >> 32


def _list_embedded(found: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(found, IPv4Address):
        return []
    carried = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
    if int(found) >> 32 == _NAT64_PREFIX:
        carried.append(IPv4Address(int(found) & 0xFFFFFFFF))
    return [inner for inner in carried if inner is not None]


def _is_host(host: str) -> bool:
    if len(host) > 253 or not re.fullmatch(HOST, host, re.ASCII):
        return False
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
        elif re.fullmatch(r"[0-9.]+", host):
            IPv4Address(host)
    except AddressValueError:
        return False
    return True


def _check_host(instance: object, attribute: object, value: str) -> None:
    if not _is_host(value):
        raise UsageError(_("invalid host name or address: {text!r}").format(text=value[:60]))


def _check_user(instance: object, attribute: object, value: str) -> None:
    if not re.fullmatch(USER, value, re.ASCII):
        raise UsageError(_("invalid user name: {text!r}").format(text=value[:60]))


def _check_port(instance: object, attribute: object, value: int) -> None:
    if not 1 <= value <= 65535:
        raise UsageError(_("invalid port: {port}").format(port=value))


@frozen
class Endpoint:
    """``user@host -p port``; every part is validated, so that none can be read as a command-line option."""

    user: str = field(validator=_check_user)
    host: str = field(validator=_check_host)
    port: int = field(default=22, validator=_check_port)

    @classmethod
    def parse(cls, line: str) -> Endpoint:
        """Parse an SSH command as providers print it: ``ssh user@host -p port``, or a URL (`SshLine`).

        Options that say how to connect, such as ``-i`` and ``-L``, are left out; anything else raises `UsageError`.
        """
        from gpurent.domain.ssh_line import SshLine

        found = SshLine.parse(line)
        return cls(found.user, found.host, int(found.port or 22))

    @property
    def address(self) -> str:
        """The host as a socket expects it: without brackets."""
        return self.host.strip("[]")

    def __str__(self) -> str:
        return f"ssh {self.user}@{self.host} -p {self.port}"


class AccessChannel(Enum):
    """How an access reached us. SERVICE: from a provider's API or page. UNKNOWN: nobody said."""

    SERVICE = "service"
    MAIL = "mail"
    USER = "user"
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class AccessSource:
    """Where an endpoint and its password came from, and whether that was authenticated.

    ``is_authenticated``: a service over TLS under the user's login, a mail that passed the check of the user's own mail
    provider, or the user. ``is_sandbox``: a sandbox of this user that proved itself, whose machines are on this
    computer. ``endpoint`` is what it vouches for: nothing else, so that an endpoint that changes without a new source
    has none. ``has_password``: the password came together with it.
    """

    channel: AccessChannel = AccessChannel.UNKNOWN
    is_authenticated: bool = False
    is_sandbox: bool = False
    endpoint: Endpoint | None = None
    has_password: bool = False

    def vouch_for(self, endpoint: Endpoint, *, has_password: bool = False) -> AccessSource:
        """Return this source for an endpoint that came from it, alone or together with its password."""
        return evolve(self, endpoint=endpoint, has_password=has_password)

    def is_proof_of(self, endpoint: Endpoint) -> bool:
        """Whether this source is authenticated and named exactly this endpoint."""
        return self.is_authenticated and self.endpoint == endpoint


USER_SOURCE = AccessSource(channel=AccessChannel.USER, is_authenticated=True)


@frozen(kw_only=True)
class MachineProfile:
    """What a provider's machines have in common.

    ``stop_script`` is a shell command, run on the machine, that ends the machine and its billing; empty if there is
    none. ``install_prefix`` is the shell command to put before a package's name; empty if packages cannot be installed.
    ``files_kept_for`` is how long files are kept after the lease ends; None if they are not kept.
    """

    user: str
    python: str = "python3"
    home: str = "~"
    data_dir: str = ""
    install_prefix: str = ""
    stop_script: str = ""
    files_kept_for: timedelta | None = None
