"""Our ssh config as ssh reads it, and how it is added to the user's own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import pytest
from hypothesis import given, settings, strategies as st

from gpurent.api import Endpoint, Export, ExportedLease, UsageError
from gpurent.testing.contracts.exporter import ExporterContract, InstallContract, ParsedProfile
from gpurent_plugin_openssh.exporters import OpenSshExporter, VsCodeExporter
from gpurent_plugin_openssh.ssh_config import quote_path


def read_effective_config(config: Path, name: str) -> dict[str, list[str]]:
    """Return every setting that ``ssh -G`` would use for ``name``."""
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), "--", name], capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def make_lease(name: str = "gpurent-a", key: str = "/home/me/key") -> ExportedLease:
    return ExportedLease(
        name=name,
        endpoint=Endpoint("root", "gpu3.example.com", 2222),
        key_file=Path(key),
        known_hosts=Path("/home/me/known hosts"),
        host_key="ssh-ed25519 AAAAC3",
        folder="/root",
    )


class TestOpenSsh(ExporterContract, InstallContract):
    exporter = OpenSshExporter
    installer = OpenSshExporter
    stores_password = False
    uses_key = True

    def read_profiles(self, export: Export, leases: Sequence[ExportedLease]) -> Sequence[ParsedProfile]:
        with TemporaryDirectory() as folder:
            config = Path(folder) / "config"
            config.write_text(export.text + "\n", "utf-8")
            sites = []
            for lease in leases:
                found = read_effective_config(config, lease.name)
                # -G shows percent tokens before they are expanded.
                assert found["hostkeyalias"] == [lease.name]
                assert found["identitiesonly"] == ["yes"]
                assert found["forwardagent"] == ["no"]
                assert "proxycommand" not in found
                (host,), (port,), (user,) = found["hostname"], found["port"], found["user"]
                (key,), (known,) = found["identityfile"], found["userknownhostsfile"]
                profile = ParsedProfile(
                    lease.name,
                    host,
                    int(port),
                    user,
                    key_file=key.replace("%%", "%"),
                    known_hosts=known.replace("%%", "%"),
                    checks_host_key=found["stricthostkeychecking"] == ["true"],
                )
                sites.append(profile)
            return sites


class TestVsCode(ExporterContract, InstallContract):
    exporter = VsCodeExporter
    installer = VsCodeExporter
    stores_password = False

    def read_profiles(self, export: Export, leases: Sequence[ExportedLease]) -> Sequence[ParsedProfile]:
        sites = []
        for line, machine in zip(export.text.split("\n"), leases, strict=True):
            match = re.fullmatch(r"vscode://vscode-remote/ssh-remote\+([A-Za-z0-9._-]+)(/\S*)", line)
            assert match is not None
            assert unquote(match[2]) == (machine.folder or "/")
            endpoint = machine.endpoint
            sites.append(ParsedProfile(match[1], endpoint.address, endpoint.port, endpoint.user))
        return sites


def test_effective_ssh_configuration(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(OpenSshExporter().export_leases([make_lease()]).text)
    found = read_effective_config(tmp_path / "config", "gpurent-a")
    assert found["userknownhostsfile"] == ["/home/me/known hosts"]
    assert found["hostkeyalgorithms"] == ["ssh-ed25519"]
    assert found["updatehostkeys"] == ["false"]
    assert found["forwardx11"] == ["no"]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_no_path_breaks_out_of_its_line(text: str) -> None:
    try:
        found = quote_path(Path("/home/me") / text)
    except UsageError:
        return
    assert len(found.splitlines()) == 1
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', found)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


USER_CONFIG = b"# mine\r\nHost work\n  User me\xff\n\n"


def test_the_users_config_is_kept_backed_up_and_restored(home: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_bytes(USER_CONFIG)
    config.chmod(0o640)
    OpenSshExporter().install_leases([make_lease()], home)
    assert config.read_bytes().endswith(USER_CONFIG)
    assert config.read_bytes().startswith(b"# gpurent")
    assert config.stat().st_mode & 0o777 == 0o640
    assert (home / ".ssh" / "gpurent_config").stat().st_mode & 0o777 == 0o600
    assert (home / ".ssh" / "config.before-gpurent").read_bytes() == USER_CONFIG
    OpenSshExporter().install_leases([make_lease("gpurent-b")], home)
    assert config.read_bytes().count(b"Include") == 1
    assert OpenSshExporter().list_installed(home) == ["gpurent-a", "gpurent-b"]
    OpenSshExporter().uninstall_leases(["gpurent-a", "gpurent-b"], home)
    assert config.read_bytes() == USER_CONFIG
    assert not (home / ".ssh" / "gpurent_config").exists()


def test_ssh_reads_it_through_the_users_config(home: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_text("Host *\n  User somebody\n  ForwardAgent yes\n  Port 99\n")
    OpenSshExporter().install_leases([make_lease()], home)
    found = read_effective_config(config, "gpurent-a")
    assert (found["user"], found["port"], found["forwardagent"]) == (["root"], ["2222"], ["no"])
    assert read_effective_config(config, "elsewhere")["user"] == ["somebody"]


def test_lines_of_ours_that_were_moved_are_found(home: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_bytes(USER_CONFIG)
    OpenSshExporter().install_leases([make_lease()], home)
    text = config.read_bytes()
    note, include, _empty, rest = text.split(b"\n", 3)
    config.write_bytes(rest + note + b"\n" + include + b"\n")
    assert OpenSshExporter().install_leases([make_lease()], home) == []
    OpenSshExporter().uninstall_leases(["gpurent-a"], home)
    assert config.read_bytes() == USER_CONFIG


def test_a_config_that_is_a_link_stays_one(home: Path) -> None:
    real = home / "dotfiles"
    real.write_bytes(USER_CONFIG)
    config = home / ".ssh" / "config"
    config.symlink_to(real)
    OpenSshExporter().install_leases([make_lease()], home)
    assert config.is_symlink()
    assert b"Include" in real.read_bytes()
    OpenSshExporter().uninstall_leases(["gpurent-a"], home)
    assert real.read_bytes() == USER_CONFIG


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    assert OpenSshExporter().uninstall_leases(["gpurent-a"], tmp_path) == []
    assert OpenSshExporter().list_installed(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_config_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = home / ".ssh" / "config"
    config.write_bytes(USER_CONFIG)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        OpenSshExporter().install_leases([make_lease()], home)
    assert config.read_bytes() == USER_CONFIG
    assert sorted(path.name for path in (home / ".ssh").iterdir()) == ["config"]


def test_vscode_starts_code_on_the_alias() -> None:
    assert VsCodeExporter().make_open_command(make_lease()) == (
        "code",
        "--folder-uri",
        "vscode-remote://ssh-remote+gpurent-a/root",
    )
