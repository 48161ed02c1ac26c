"""A private sshd with its own key, and what every client needs to reach it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

from attrs import frozen

SSHD_CONFIG = """\
ListenAddress {address}
Port {port}
HostKey {room}/host_key
PidFile {room}/sshd.pid
AuthorizedKeysFile {room}/key.pub
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 1000
MaxSessions 100
AcceptEnv LANG LC_*
SetEnv PATH=/usr/local/bin:/usr/bin:/bin
Subsystem sftp internal-sftp
LogLevel ERROR
"""


@frozen
class BenchSshServer:
    """Where the server is, and the files that a client logs in with."""

    folder: Path
    address: str
    port: int

    @property
    def user(self) -> str:
        return getuser()

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def pin_host_key(self, address: str, port: int) -> None:
        """Pin the host key for an address of the server."""
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        known_host = address if port == 22 else f"[{address}]:{port}"
        with self.known_hosts.open("a") as file:
            file.write(f"{known_host} {kind} {key}\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_ssh_server(
    folder: Path, address: str = "127.0.0.1", prefix: tuple[str, ...] = ()
) -> Iterator[BenchSshServer]:
    """Run an sshd; ``prefix`` starts it elsewhere (in a network namespace)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("host_key", "key"):
        if not (folder / name).exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
            )
    port = free_port()
    (folder / "known_hosts").write_text("")
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(room=folder, port=port, address=address))
    if not Path("/run/sshd").is_dir():
        Path("/run/sshd").mkdir(parents=True)
    if os.geteuid() == 0:
        # The remote side is a plain server: root's own shell start-up files on this computer are hidden from it.
        prefix = (
            *prefix,
            "unshare",
            "-m",
            "sh",
            "-c",
            'mount --bind /dev/null /root/.bashrc; exec "$@"',
            "sh",
        )
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin") or "/usr/sbin/sshd"
    process = subprocess.Popen(
        [*prefix, sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.PIPE
    )
    server = BenchSshServer(folder, address, port)
    server.pin_host_key(address, port)
    try:
        time.sleep(0.3)
        if process.poll() is not None:
            raise SystemExit(process.stderr.read().decode() if process.stderr else "sshd does not start")
        yield server
    finally:
        process.terminate()
        process.wait()
