"""Boots odd machines: those of the sandbox's bubblewrap driver, with what `OddMachine` changes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import asyncssh
from attrs import define

from gpurent.testing.sandbox.machines.bwrap_driver import BwrapDriver, BwrapInstance
from gpurent.testing.sandbox.machines.driver_base import BootContext
from gpurent.testing.sandbox.machines.programs import MachinePrograms, shared_link_farms, write_program
from tests.machines.machine import OddMachine

OLD_HOST_KEY = "ssh/old_host_key"
"""An RSA key below /etc, for machines whose settings name it."""


class OddDriver(BwrapDriver):
    """Boots one odd machine."""

    def __init__(self, root: Path, odd: OddMachine) -> None:
        super().__init__(root, shared_link_farms())
        self.odd = odd
        self.instance: OddInstance | None = None

    def _make_instance(self, context: BootContext, programs: MachinePrograms) -> BwrapInstance:
        self.instance = OddInstance(context, programs, self.odd)
        return self.instance


class OddInstance(BwrapInstance):
    def __init__(self, context: BootContext, programs: MachinePrograms, odd: OddMachine) -> None:
        super().__init__(context, programs)
        self.odd = odd

    @property
    def home_here(self) -> Path:
        """The home folder as this computer sees it."""
        disk = self.context.disk
        return disk.home if self.odd.disk_bytes is None else self.get_root(self.home)

    def write_etc(self) -> list[str]:
        """Write the machine's files, on its disk and below /etc."""
        write_files(self.context.disk.home, self.odd.home_files)
        write_files(self.context.disk.data, self.odd.data_files)
        names = super().write_etc()
        folder = self.context.runtime_folder / "etc"
        _write_programs(self.context.disk.opt, self.odd)
        etc = EtcFolder(folder, names)
        etc.change(
            "passwd",
            rf":{self.home}:/bin/bash",
            f":{self.odd.passwd_home or self.home}:{self.odd.shell_path}",
        )
        etc.change("shadow", r":19000:0:99999:7:::", f":{self.odd.shadow}")
        variables = {"LANG": "C.UTF-8", **self.odd.variables}
        set_variables = " ".join(f"{name}={value}" for name, value in variables.items() if value)
        etc.change("ssh/sshd_config", r" LANG=C\.UTF-8", f" {set_variables}" if set_variables else "")
        etc.put_before("ssh/sshd_config", self.odd.sshd)
        for name, text in self.odd.etc_files.items():
            etc.write(name, text)
        if any(OLD_HOST_KEY in line for line in self.odd.sshd):
            key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
            etc.write(OLD_HOST_KEY, key.export_private_key("pkcs1-pem").decode())
        return etc.names

    def make_command(self, etc: list[str], status_fd: int) -> list[str]:
        command = super().make_command(etc, status_fd)
        end = command.index("--")
        command[end:end] = [self._fill(part) for part in self.odd.bwrap]
        if not self.odd.mounts:
            return command
        script = f'set -e\n{self._fill(self.odd.mounts)}\nexec "$@"'
        unshare = shutil.which("unshare") or "unshare"
        return [
            unshare,
            "--user",
            "--map-root-user",
            "--mount",
            "--",
            "/bin/sh",
            "-c",
            script,
            "sh",
            *command,
        ]

    def _fill(self, text: str) -> str:
        """Put this computer's folders in the place of ``@run@`` and ``@home@``."""
        run = str(self.context.runtime_folder)
        return text.replace("@run@", run).replace("@home@", str(self.context.disk.home))


@define
class EtcFolder:
    """The machine's /etc while it is written. ``names``: its files, relative to it."""

    folder: Path
    names: list[str]

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        self.names = list(dict.fromkeys((*self.names, name)))

    def change(self, name: str, pattern: str, text: str) -> None:
        """Replace the one place that matches."""
        changed, count = re.subn(pattern, lambda _: text, (self.folder / name).read_text())
        assert count == 1, (name, pattern, count)
        (self.folder / name).write_text(changed)

    def put_before(self, name: str, lines: tuple[str, ...]) -> None:
        """Put lines of settings first; those of the file that set the same are removed."""
        path, keys = self.folder / name, {line.split()[0] for line in lines}
        kept = [line for line in path.read_text().splitlines() if line.split()[0] not in keys]
        path.write_text("".join(f"{line}\n" for line in (*lines, *kept)))


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts below ``folder``."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _write_programs(opt: Path, odd: OddMachine) -> None:
    """Write its own programs and the link to its login shell."""
    for name, text in odd.programs.items():
        write_program(opt / "bin" / name, text)
    (opt / "shells").mkdir(exist_ok=True)
    link = opt / "shells" / (odd.shell_name or Path(odd.shell_program).name)
    link.unlink(missing_ok=True)
    link.symlink_to(find_shell(odd.shell_program))


def find_shell(name: str) -> str:
    """Return the path of a shell; busybox is ash."""
    return shutil.which("busybox" if name == "ash" else name) or name
