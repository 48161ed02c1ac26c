"""Our ssh config as ssh itself reads it, and how it gets beside the user's own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import pytest
from hypothesis import given, settings, strategies as st

from gpurent.api import Endpoint, Export, Exported, UsageError
from gpurent.testing.contracts.exporter import ExporterContract, InstallingContract, ParsedProfile
from gpurent_plugin_openssh.exporters import OpenSsh, VsCode
from gpurent_plugin_openssh.ssh_config import quoted


def effective(config: Path, name: str) -> dict[str, list[str]]:
    """``ssh -G``: every setting that would be used for ``name``."""
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), "--", name], capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def lease(name: str = "gpurent-a", key: str = "/home/me/key") -> Exported:
    return Exported(
        name=name,
        endpoint=Endpoint("root", "gpu3.example.com", 2222),
        key_file=Path(key),
        known_hosts=Path("/home/me/known hosts"),
        host_key="ssh-ed25519 AAAAC3",
        folder="/root",
    )


class TestOpenSsh(ExporterContract, InstallingContract):
    exporter = OpenSsh
    installing = OpenSsh
    stores_password = False

    def read(self, export: Export, leases: Sequence[Exported]) -> Sequence[ParsedProfile]:
        with TemporaryDirectory() as folder:
            config = Path(folder) / "config"
            config.write_text(export.text + "\n", "utf-8")
            sites = []
            for given in leases:
                found = effective(config, given.name)
                # -G shows percent tokens before they are expanded.
                assert found["identityfile"] == [str(given.key_file).replace("%", "%%")]
                assert found["hostkeyalias"] == [given.name]
                assert found["identitiesonly"] == ["yes"]
                assert found["forwardagent"] == ["no"]
                assert found["stricthostkeychecking"] == ["true"]
                assert "proxycommand" not in found
                (host,), (port,), (user,) = found["hostname"], found["port"], found["user"]
                sites.append(ParsedProfile(given.name, host, int(port), user))
            return sites


class TestVsCode(ExporterContract, InstallingContract):
    exporter = VsCode
    installing = VsCode
    stores_password = False

    def read(self, export: Export, leases: Sequence[Exported]) -> Sequence[ParsedProfile]:
        sites = []
        for line, machine in zip(export.text.split("\n"), leases, strict=True):
            match = re.fullmatch(r"vscode://vscode-remote/ssh-remote\+([A-Za-z0-9._-]+)(/\S*)", line)
            assert match is not None
            assert unquote(match[2]) == (machine.folder or "/")
            endpoint = machine.endpoint
            sites.append(ParsedProfile(match[1], endpoint.address, endpoint.port, endpoint.user))
        return sites


def test_all_that_ssh_makes_of_it(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(OpenSsh().export([lease()]).text)
    found = effective(tmp_path / "config", "gpurent-a")
    assert found["userknownhostsfile"] == ["/home/me/known hosts"]
    assert found["hostkeyalgorithms"] == ["ssh-ed25519"]
    assert found["updatehostkeys"] == ["false"]
    assert found["forwardx11"] == ["no"]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_no_path_breaks_out_of_its_line(text: str) -> None:
    try:
        found = quoted(Path("/home/me") / text)
    except UsageError:
        return
    assert len(found.splitlines()) == 1
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', found)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


MINE = b"# mine\r\nHost work\n  User me\xff\n\n"


def test_the_users_config_is_kept_backed_up_and_restored(home: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_bytes(MINE)
    config.chmod(0o640)
    OpenSsh().install([lease()], home)
    assert config.read_bytes().endswith(MINE)
    assert config.read_bytes().startswith(b"# gpurent")
    assert config.stat().st_mode & 0o777 == 0o640
    assert (home / ".ssh" / "gpurent_config").stat().st_mode & 0o777 == 0o600
    assert (home / ".ssh" / "config.before-gpurent").read_bytes() == MINE
    OpenSsh().install([lease("gpurent-b")], home)
    assert config.read_bytes().count(b"Include") == 1
    assert OpenSsh().installed(home) == ["gpurent-a", "gpurent-b"]
    OpenSsh().uninstall(["gpurent-a", "gpurent-b"], home)
    assert config.read_bytes() == MINE
    assert not (home / ".ssh" / "gpurent_config").exists()


def test_ssh_reads_it_through_the_users_config(home: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_text("Host *\n  User somebody\n  ForwardAgent yes\n  Port 99\n")
    OpenSsh().install([lease()], home)
    found = effective(config, "gpurent-a")
    assert (found["user"], found["port"], found["forwardagent"]) == (["root"], ["2222"], ["no"])
    assert effective(config, "elsewhere")["user"] == ["somebody"]


def test_lines_of_ours_that_were_moved_are_found(home: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_bytes(MINE)
    OpenSsh().install([lease()], home)
    text = config.read_bytes()
    note, include, _empty, rest = text.split(b"\n", 3)
    config.write_bytes(rest + note + b"\n" + include + b"\n")
    assert OpenSsh().install([lease()], home) == []
    OpenSsh().uninstall(["gpurent-a"], home)
    assert config.read_bytes() == MINE


def test_a_config_that_is_a_link_stays_one(home: Path) -> None:
    real = home / "dotfiles"
    real.write_bytes(MINE)
    config = home / ".ssh" / "config"
    config.symlink_to(real)
    OpenSsh().install([lease()], home)
    assert config.is_symlink()
    assert b"Include" in real.read_bytes()
    OpenSsh().uninstall(["gpurent-a"], home)
    assert real.read_bytes() == MINE


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    assert OpenSsh().uninstall(["gpurent-a"], tmp_path) == []
    assert OpenSsh().installed(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_config_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = home / ".ssh" / "config"
    config.write_bytes(MINE)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        OpenSsh().install([lease()], home)
    assert config.read_bytes() == MINE
    assert sorted(path.name for path in (home / ".ssh").iterdir()) == ["config"]


def test_vscode_starts_code_on_the_alias() -> None:
    assert VsCode().command(lease()) == (
        "code",
        "--folder-uri",
        "vscode-remote://ssh-remote+gpurent-a/root",
    )
