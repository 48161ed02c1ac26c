"""What was found on a machine and its GPUs."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve, field, frozen

from gpurent.domain.access import MachineProfile
from gpurent.terminal_text import NO_TEXT, ForeignText, to_foreign_texts


@frozen(kw_only=True)
class Gpu:
    """A GPU as its driver reports it. ``memory`` and ``used`` (by any process) in MiB, ``utilization`` in percent.

    None: not reported. ``ecc`` counts uncorrected memory errors; ``retiring``: memory pages are pending retirement.
    """

    name: str = field(converter=ForeignText)
    memory: int | None = None
    used: int | None = None
    utilization: int | None = None
    mig: bool = False
    broken: bool = False
    ecc: int = 0
    retiring: bool = False
    processes: tuple[ForeignText, ...] = field(default=(), converter=to_foreign_texts)


@frozen(kw_only=True)
class PythonInterpreter:
    """A Python interpreter and the command that starts it."""

    name: str = field(converter=ForeignText)
    version: ForeignText = field(converter=ForeignText)


@frozen(kw_only=True)
class DiskSpace:
    """A file system: a folder on it, and its free and total size in bytes."""

    path: str = field(converter=ForeignText)
    free: int
    total: int


@frozen(kw_only=True)
class MachineFacts:
    """What the machine reports about itself. It is untrusted, so only values of a strict format are kept.

    Empty or None: not reported. ``sudo``: "root" (not needed), "passwordless", "password", "" (not available).
    ``memory`` in MiB. ``package_manager`` is the name of its command. The names in ``pythons`` are commands or absolute
    paths.
    """

    at: datetime
    user: str = field(default=NO_TEXT, converter=ForeignText)
    sudo: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    system: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    cpus: int = 0
    memory: int = 0
    pythons: tuple[PythonInterpreter, ...] = ()
    cuda: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    driver: ForeignText = field(default=NO_TEXT, converter=ForeignText)
    gpus: tuple[Gpu, ...] = ()
    home: DiskSpace | None = None
    data: DiskSpace | None = None
    package_manager: ForeignText = field(default=NO_TEXT, converter=ForeignText)


_INSTALL_COMMANDS = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "yum": "yum install -y",
    "apk": "apk add",
    "zypper": "zypper -n install",
    "pacman": "pacman -S --noconfirm",
}
_SUDO_PREFIXES = {"root": "", "passwordless": "sudo "}


def correct_profile(profile: MachineProfile, facts: MachineFacts | None) -> MachineProfile:
    """Return ``profile`` corrected by what was found on the machine; what was not found out stays unchanged."""
    if facts is None:
        return profile
    modern = [python.name for python in facts.pythons if python.version.startswith("3.")]
    install = profile.install_prefix
    if facts.package_manager in _INSTALL_COMMANDS:
        # If sudo asks for a password, it would block: nobody is there to type it.
        install = (
            f"{_SUDO_PREFIXES[facts.sudo]}{_INSTALL_COMMANDS[facts.package_manager]}"
            if facts.sudo in _SUDO_PREFIXES
            else ""
        )
    return evolve(
        profile,
        user=facts.user or profile.user,
        python=profile.python if profile.python in modern or not modern else modern[0],
        install_prefix=install,
        data_dir=facts.data.path if facts.data is not None else "",
    )
