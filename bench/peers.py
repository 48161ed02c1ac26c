"""Other tools a user could take, each with its best options: AES-GCM and the fast key exchange, as gpurent here."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.ssh_server import BenchSshServer

PeerCommand = Callable[[BenchSshServer, Path, Path, str], str]
SSH_CRYPTO_OPTIONS = "-c aes128-gcm@openssh.com -o KexAlgorithms=curve25519-sha256"


def ssh_options(server: BenchSshServer, control: str = "") -> str:
    text = (
        f"-F none -i {server.key} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes "
        f"-o UserKnownHostsFile={server.known_hosts} -o StrictHostKeyChecking=yes {SSH_CRYPTO_OPTIONS}"
    )
    return f"{text} -o ControlPath={control} -o ControlMaster=no" if control else text


def ssh_command(server: BenchSshServer, control: str = "") -> str:
    return f"ssh {ssh_options(server, control)} -p {server.port}"


def ssh_address(server: BenchSshServer) -> str:
    return f"{server.user}@{server.address}"


def _make_tar_peer(through: str, far_command: str) -> PeerCommand:
    def command(server: BenchSshServer, source: Path, target: Path, control: str) -> str:
        inside = f"mkdir -p {target} && cd {target} && {far_command} tar -xf -"
        far = f"{ssh_command(server, control)} {ssh_address(server)} {shlex.quote(inside)}"
        return f"tar -C {source} -cf - . {through}| {far}"

    return command


def _make_rsync_peer(flags: str) -> PeerCommand:
    def command(server: BenchSshServer, source: Path, target: Path, control: str) -> str:
        shell = shlex.quote(ssh_command(server, control))
        return f"rsync {flags} -e {shell} {source}/ {ssh_address(server)}:{target}/"

    return command


def _scp_command(server: BenchSshServer, source: Path, target: Path, control: str) -> str:
    return (
        f"scp -q -rp {ssh_options(server, control)} -P {server.port} {source} {ssh_address(server)}:{target}"
    )


def _sftp_command(server: BenchSshServer, source: Path, target: Path, control: str) -> str:
    batch = f"mkdir {target}\\nput -rp {source}/. {target}\\n"
    return (
        f"printf '{batch}' | sftp -q -B 261120 -R 256 {ssh_options(server, control)} "
        f"-P {server.port} -b - {ssh_address(server)} "
        ">/dev/null"
    )


def _rclone_command(server: BenchSshServer, source: Path, target: Path, control: str) -> str:
    remote = (
        f":sftp,host={server.address},port={server.port},user={server.user},key_file={server.key},"
        f"known_hosts_file={server.known_hosts},ciphers='aes128-gcm@openssh.com',chunk_size=255k,concurrency=64:{target}"
    )
    return f"rclone copy --config /dev/null --transfers 16 --checkers 16 -q {source} {shlex.quote(remote)}"


def _lftp_command(server: BenchSshServer, source: Path, target: Path, control: str) -> str:
    program = f"set sftp:connect-program '{ssh_command(server)} -a -x'"
    connect = f"{program}; set sftp:max-packets-in-flight 256; set net:max-retries 1"
    open_command = f"open -u {server.user}, sftp://{server.address}:{server.port}"
    return f"lftp -c {shlex.quote(f'{connect}; {open_command}; mirror -R -P 8 {source} {target}')}"


def _paramiko_command(server: BenchSshServer, source: Path, target: Path, control: str) -> str:
    script = Path(__file__).with_name("paramiko_put.py")
    words = [
        sys.executable,
        script,
        server.address,
        server.port,
        server.user,
        server.key,
        server.known_hosts,
        source,
        target,
    ]
    return shlex.join(map(str, words))


PEERS: Mapping[str, PeerCommand] = {
    "tar over ssh": _make_tar_peer("", ""),
    "tar + zstd over ssh": _make_tar_peer("| zstd -q -T0 -3 ", "zstd -q -d |"),
    "tar + zstd --adapt over ssh": _make_tar_peer("| zstd -q -T0 --adapt ", "zstd -q -d |"),
    "rsync -aW": _make_rsync_peer("-aW"),
    "rsync -a": _make_rsync_peer("-a"),
    "rsync -az": _make_rsync_peer("-az --zc=zstd"),
    "scp": _scp_command,
    "sftp": _sftp_command,
    "rclone": _rclone_command,
    "lftp -P 8": _lftp_command,
    "paramiko": _paramiko_command,
}
SYNC_PEERS = ("rsync -a", "rsync -az")
SLOW_PEERS = ("scp", "sftp", "rclone")
MULTIPLEXED_PEERS = ("tar over ssh", "tar + zstd over ssh", "rsync -aW", "rsync -az", "scp", "sftp")
PEER_PROGRAMS = {
    "tar + zstd over ssh": "zstd", "tar + zstd --adapt over ssh": "zstd", "rsync -aW": "rsync", "rsync -a": "rsync",
    "rsync -az": "rsync", "scp": "scp", "sftp": "sftp", "rclone": "rclone", "lftp -P 8": "lftp",
}  # fmt: skip


def find_installed_peers() -> list[str]:
    """Return the peers that are installed on this computer."""
    names = [name for name in PEERS if shutil.which(PEER_PROGRAMS.get(name, "ssh"))]
    try:
        import paramiko  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        names.remove("paramiko")
    return names
