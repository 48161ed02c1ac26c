"""What lies open on this computer: settings with a password, key files, the folders above the data folder."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import asyncssh
import pytest

from gpurent.errors import UsageError
from gpurent.infra.platform.posix import parent_folders
from gpurent.infra.platform.posix.parent_folders import check_parent_folders
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.ssh.connector import load_private_key
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command
from tests.security.attacks import Adversary, Outcome, attack

SECRETS = '[imap]\nhost = "imap.example.com"\nuser = "me"\npassword = "canary-imap"\n'


def run(home: Path, *arguments: str) -> CommandLineResult:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home.parent), "GPURENT_HOME": str(home)}
    return run_command(*arguments, environment=environment, folder=home.parent)


def write_config(home: Path, text: str = SECRETS, mode: int = 0o644) -> Path:
    path = make_private_folder(home) / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


@attack(
    Adversary.LOCAL_USER,
    "config.toml with a mailbox's password is readable for everybody",
    Outcome.KEPT_OUT,
    kind="S16",
)
@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640])
def test_a_settings_file_is_made_private(tmp_path: Path, mode: int) -> None:
    path = write_config(tmp_path / "home", mode=mode)
    assert run(tmp_path / "home", "ls").code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == SECRETS


@attack(
    Adversary.LOCAL_USER,
    "config.toml is a link to a file that everybody can read, or write",
    Outcome.REFUSED,
    kind="S16",
)
@pytest.mark.parametrize(("mode", "message"), [(0o644, "contains a password"), (0o622, "can change")])
def test_a_settings_file_elsewhere_is_not_ours_to_mend(tmp_path: Path, mode: int, message: str) -> None:
    elsewhere = write_config(tmp_path / "elsewhere", mode=mode)
    home = make_private_folder(tmp_path / "home")
    (home / "config.toml").symlink_to(elsewhere)
    refused = run(home, "ls")
    assert refused.code == UsageError.exit_code
    assert message in refused.err
    assert f"chmod 600 {elsewhere}" in refused.err
    assert "canary-imap" not in refused.err
    elsewhere.chmod(0o600)
    assert run(home, "ls").code == 0


def test_a_linked_settings_file_without_a_password_bothers_nobody(tmp_path: Path) -> None:
    elsewhere = write_config(tmp_path / "elsewhere", '[budget]\nmonth = "500CNY"\n')
    home = make_private_folder(tmp_path / "home")
    (home / "config.toml").symlink_to(elsewhere)
    assert run(home, "ls").code == 0


@attack(
    Adversary.LOCAL_USER,
    "a folder above the data folder is writable for others, who put another data folder in its place",
    Outcome.REFUSED,
    kind="S16",
)
@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775])
def test_an_open_folder_above_is_refused(tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    above = make_private_folder(tmp_path / "above")
    home = make_private_folder(above / "middle" / "home")
    assert run(home, "ls").code == 0
    above.chmod(mode)
    if mode == 0o775:
        monkeypatch.setattr(parent_folders, "_is_own_group", lambda _gid: False)
        with pytest.raises(UsageError, match="other users can replace"):
            check_parent_folders(home)
        return
    refused = run(home, "ls")
    assert refused.code == UsageError.exit_code
    assert f"chmod go-w {above}" in refused.err
    above.chmod(0o1777)
    assert run(home, "ls").code == 0, "as /tmp"


@attack(
    Adversary.LOCAL_USER,
    "the data folder is reached by a link in a private folder, but lies in an open one",
    Outcome.REFUSED,
    kind="S16",
)
def test_a_link_does_not_hide_an_open_folder(tmp_path: Path) -> None:
    above = make_private_folder(tmp_path / "open")
    make_private_folder(above / "home")
    above.chmod(0o777)
    (tmp_path / "link").symlink_to(above / "home")
    with pytest.raises(UsageError, match="other users can replace"):
        check_parent_folders(tmp_path / "link")


@attack(
    Adversary.LOCAL_USER,
    "the data folder is in a folder of another user",
    Outcome.REFUSED,
    kind="S16",
)
def test_a_folder_of_another_user_above_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = make_private_folder(tmp_path / "theirs")
    check_parent_folders(above / "home")
    owner = os.getuid()
    if owner == 0:
        owner = 4321
        os.chown(above, owner, -1)
        with pytest.raises(UsageError, match="folder of another user"):
            check_parent_folders(above / "home")
        monkeypatch.setenv("SUDO_UID", str(owner))
        check_parent_folders(above / "home")  # root at will: nobody else
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(UsageError, match="folder of another user"):
        check_parent_folders(above / "home")


@attack(
    Adversary.LOCAL_USER,
    "a folder above the data folder is writable for them by an access control list, in the user's own group",
    Outcome.REFUSED,
    kind="S16",
)
def test_an_access_control_list_above_is_seen(tmp_path: Path) -> None:
    above = make_private_folder(tmp_path / "shared")
    everybody, none = b"\xff" * 4, 4321
    entries = (
        (0x01, 7, everybody),
        (0x02, 7, none),
        (0x04, 5, everybody),
        (0x10, 7, everybody),
        (0x20, 5, everybody),
    )
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HH", tag, mode) + (who if isinstance(who, bytes) else struct.pack("<I", who))
        for tag, mode, who in entries
    )
    try:
        os.setxattr(above, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"no access control lists here: {error}")
    with pytest.raises(UsageError, match="other users can replace"):
        check_parent_folders(above / "home")


@attack(
    Adversary.LOCAL_USER,
    "a private key for a machine lies open for others to read",
    Outcome.REFUSED,
    kind="S16",
)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
async def test_an_open_key_file_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "id"
    path.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    path.chmod(mode)

    async def ask() -> None:
        raise AssertionError("nothing is asked for a key that everybody has")

    with pytest.raises(UsageError, match="accessible to other users") as caught:
        await load_private_key(path, ask)
    assert caught.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    loaded = await load_private_key(tmp_path / "link", ask)
    assert loaded.get_algorithm() == "ssh-ed25519", "a link to a private one is as good, as for ssh"
