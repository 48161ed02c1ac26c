"""What a user would take instead, each at its best flags: AES-GCM and the quick key exchange, as gpurent here."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.yard import Yard

Peer = Callable[[Yard, Path, Path, str], str]
CRYPTO = "-c aes128-gcm@openssh.com -o KexAlgorithms=curve25519-sha256"


def options(yard: Yard, control: str = "") -> str:
    text = (
        f"-F none -i {yard.key} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes "
        f"-o UserKnownHostsFile={yard.known_hosts} -o StrictHostKeyChecking=yes {CRYPTO}"
    )
    return f"{text} -o ControlPath={control} -o ControlMaster=no" if control else text


def ssh(yard: Yard, control: str = "") -> str:
    return f"ssh {options(yard, control)} -p {yard.port}"


def where(yard: Yard) -> str:
    return f"{yard.user}@{yard.address}"


def _pipe(through: str, back: str) -> Peer:
    def command(yard: Yard, source: Path, target: Path, control: str) -> str:
        inside = f"mkdir -p {target} && cd {target} && {back} tar -xf -"
        return f"tar -C {source} -cf - . {through}| {ssh(yard, control)} {where(yard)} {shlex.quote(inside)}"

    return command


def _rsync(flags: str) -> Peer:
    def command(yard: Yard, source: Path, target: Path, control: str) -> str:
        shell = shlex.quote(ssh(yard, control))
        return f"rsync {flags} -e {shell} {source}/ {where(yard)}:{target}/"

    return command


def _scp(yard: Yard, source: Path, target: Path, control: str) -> str:
    return f"scp -q -rp {options(yard, control)} -P {yard.port} {source} {where(yard)}:{target}"


def _sftp(yard: Yard, source: Path, target: Path, control: str) -> str:
    batch = f"mkdir {target}\\nput -rp {source}/. {target}\\n"
    return (
        f"printf '{batch}' | sftp -q -B 261120 -R 256 {options(yard, control)} -P {yard.port} -b - {where(yard)} "
        ">/dev/null"
    )


def _rclone(yard: Yard, source: Path, target: Path, control: str) -> str:
    remote = (
        f":sftp,host={yard.address},port={yard.port},user={yard.user},key_file={yard.key},"
        f"known_hosts_file={yard.known_hosts},ciphers='aes128-gcm@openssh.com',chunk_size=255k,concurrency=64:{target}"
    )
    return f"rclone copy --config /dev/null --transfers 16 --checkers 16 -q {source} {shlex.quote(remote)}"


def _lftp(yard: Yard, source: Path, target: Path, control: str) -> str:
    connect = f"set sftp:connect-program '{ssh(yard)} -a -x'; set sftp:max-packets-in-flight 256; set net:max-retries 1"
    there = f"open -u {yard.user}, sftp://{yard.address}:{yard.port}"
    return f"lftp -c {shlex.quote(f'{connect}; {there}; mirror -R -P 8 {source} {target}')}"


def _paramiko(yard: Yard, source: Path, target: Path, control: str) -> str:
    script = Path(__file__).with_name("paramiko_put.py")
    words = [
        sys.executable,
        script,
        yard.address,
        yard.port,
        yard.user,
        yard.key,
        yard.known_hosts,
        source,
        target,
    ]
    return shlex.join(map(str, words))


PEERS: Mapping[str, Peer] = {
    "tar over ssh": _pipe("", ""),
    "tar + zstd over ssh": _pipe("| zstd -q -T0 -3 ", "zstd -q -d |"),
    "tar + zstd --adapt over ssh": _pipe("| zstd -q -T0 --adapt ", "zstd -q -d |"),
    "rsync -aW": _rsync("-aW"),
    "rsync -a": _rsync("-a"),
    "rsync -az": _rsync("-az --zc=zstd"),
    "scp": _scp,
    "sftp": _sftp,
    "rclone": _rclone,
    "lftp -P 8": _lftp,
    "paramiko": _paramiko,
}
SYNCING = ("rsync -a", "rsync -az")
SLOW = ("scp", "sftp", "rclone")
SHARING = ("tar over ssh", "tar + zstd over ssh", "rsync -aW", "rsync -az", "scp", "sftp")
PROGRAMS = {
    "tar + zstd over ssh": "zstd", "tar + zstd --adapt over ssh": "zstd", "rsync -aW": "rsync", "rsync -a": "rsync",
    "rsync -az": "rsync", "scp": "scp", "sftp": "sftp", "rclone": "rclone", "lftp -P 8": "lftp",
}  # fmt: skip


def found() -> list[str]:
    """The peers that this computer has."""
    names = [name for name in PEERS if shutil.which(PROGRAMS.get(name, "ssh"))]
    try:
        import paramiko  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        names.remove("paramiko")
    return names
