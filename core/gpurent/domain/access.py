"""How to reach a rented machine, and what is installed on it."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from attrs import field, frozen

from gpurent.errors import UsageError
from gpurent.locale import _

_USER = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])"
_SSH_LINE = re.compile(
    rf"(?:ssh[ ]+)?(?:-p[ ]+(?P<before>\d{{1,5}})[ ]+)?"
    rf"(?P<user>{_USER})@(?P<host>{_HOST})"
    r"(?:[ ]+-p[ ]+(?P<after>\d{1,5}))?"
)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address refers to this computer."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    if len(host) > 253 or not re.fullmatch(_HOST, host, re.ASCII):
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
    if not re.fullmatch(_USER, value, re.ASCII):
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
        """Parse ``[ssh] user@host [-p port]`` (``-p`` may also come first); anything else raises `UsageError`."""
        match = _SSH_LINE.fullmatch(line.strip(" \t")) if line.isascii() else None
        if match is None:
            raise UsageError(
                _("invalid SSH command: {line!r}").format(line=line[:80]),
                hint=_("Expected format: ssh user@host -p 10000"),
            )
        before, after = match["before"], match["after"]
        if before and after:
            raise UsageError(_("two ports in {line!r}").format(line=line[:80]))
        return cls(match["user"], match["host"], int(before or after or 22))

    @property
    def address(self) -> str:
        """The host as a socket expects it: without brackets."""
        return self.host.strip("[]")

    def __str__(self) -> str:
        return f"ssh {self.user}@{self.host} -p {self.port}"


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
