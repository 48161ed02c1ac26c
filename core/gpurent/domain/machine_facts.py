"""What was found on a machine, and on its GPUs."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve, frozen

from gpurent.domain.access import MachineProfile


@frozen(kw_only=True)
class Gpu:
    """As its driver reports it. Memory in MiB, ``busy`` in percent; None: not reported. ``used`` is by whomever.

    ``ecc``: memory errors that could not be corrected; ``retiring``: bad memory waits to be taken out of use.
    """

    name: str
    memory: int | None = None
    used: int | None = None
    busy: int | None = None
    mig: bool = False
    broken: bool = False
    ecc: int = 0
    retiring: bool = False
    processes: tuple[str, ...] = ()


@frozen(kw_only=True)
class PythonInterpreter:
    """A Python by the name that starts it."""

    name: str
    version: str


@frozen(kw_only=True)
class DiskSpace:
    """A file system: the folder it was asked through, free and whole size in bytes."""

    path: str
    free: int
    total: int


@frozen(kw_only=True)
class MachineFacts:
    """The machine's own word, so hostile: only what fits a strict form is here. Empty or None: it did not say.

    ``sudo``: "root" (no need of it), "free" (without a password), "password", "" (none). ``memory`` in MiB.
    ``packages`` is the name of its package command. ``python`` names of `pythons` are commands or absolute paths.
    """

    at: datetime
    user: str = ""
    sudo: str = ""
    system: str = ""
    cpus: int = 0
    memory: int = 0
    pythons: tuple[PythonInterpreter, ...] = ()
    cuda: str = ""
    driver: str = ""
    cards: tuple[Gpu, ...] = ()
    home: DiskSpace | None = None
    data: DiskSpace | None = None
    packages: str = ""


_INSTALL_COMMANDS = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "yum": "yum install -y",
    "apk": "apk add",
    "zypper": "zypper -n install",
    "pacman": "pacman -S --noconfirm",
}
_SUDO_PREFIXES = {"root": "", "free": "sudo "}


def correct_profile(profile: MachineProfile, facts: MachineFacts | None) -> MachineProfile:
    """``profile`` as the machine itself turned out to be; what was not found out stays as the provider says."""
    if facts is None:
        return profile
    modern = [python.name for python in facts.pythons if python.version.startswith("3.")]
    install = profile.install_prefix
    if facts.packages in _INSTALL_COMMANDS:
        # A password at every step would wait for nobody.
        install = (
            f"{_SUDO_PREFIXES[facts.sudo]}{_INSTALL_COMMANDS[facts.packages]}"
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
