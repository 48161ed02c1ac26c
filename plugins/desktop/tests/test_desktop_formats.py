"""Each format is parsed by an independent reader."""

from __future__ import annotations

import io
import json
import re
import zipfile
from base64 import b64decode
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from defusedxml import ElementTree  # type: ignore[import-untyped]

from gpurent.api import Endpoint, Export, ExportedLease, Secret
from gpurent.testing.contracts.exporter import ExporterContract, ParsedProfile
from gpurent_plugin_desktop.exporters import (
    FileZillaExporter,
    FtpRushExporter,
    WinScpExporter,
    XShellExporter,
)

DIGEST = "SHA256:Ab+/" + "x" * 39


def make_lease(
    name: str = "gpurent-mistgpu-abcde", password: str = "", folder: str = "/home/root"
) -> ExportedLease:
    return ExportedLease(
        name=name,
        endpoint=Endpoint("mist", "gpu28.mistgpu.com", 10000),
        key_file=Path("/home/me/key"),
        known_hosts=Path("/home/me/known_hosts"),
        host_key="ssh-ed25519 AAAAC3",
        fingerprint=DIGEST,
        folder=folder,
        password=Secret(password) if password else None,
    )


def parse_ini(content: bytes) -> ConfigParser:
    found = ConfigParser(interpolation=None, strict=True)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    text = content.decode("utf-16")
    assert text.count("\n") == text.count("\r\n")
    found.read_string(text.replace("\r\n", "\n"))
    return found


class TestXShell(ExporterContract):
    exporter = XShellExporter
    stores_password = False

    def read_profiles(self, export: Export, leases: Sequence[ExportedLease]) -> Sequence[ParsedProfile]:
        assert export.file is not None
        if len(leases) == 1:
            return [self.parse_site(Path(export.file.name), export.file.content)]
        with zipfile.ZipFile(io.BytesIO(export.file.content)) as archive:
            assert archive.testzip() is None
            return [self.parse_site(Path(name), archive.read(name)) for name in archive.namelist()]

    def parse_site(self, path: Path, content: bytes) -> ParsedProfile:
        assert path.suffix == ".xsh"
        found = parse_ini(content)
        assert found.sections() == [
            "SessionInfo",
            "CONNECTION",
            "CONNECTION:AUTHENTICATION",
            "CONNECTION:SSH",
        ]
        assert found["CONNECTION"]["Protocol"] == "SSH"
        assert found["CONNECTION:SSH"]["AgentForwarding"] == "0"
        connection, login = found["CONNECTION"], found["CONNECTION:AUTHENTICATION"]
        return ParsedProfile(
            path.stem,
            connection["Host"],
            int(connection["Port"]),
            login["UserName"],
            login["Password"] or None,
        )


class TestFtpRush(ExporterContract):
    exporter = FtpRushExporter
    stores_password = True

    def read_profiles(self, export: Export, leases: Sequence[ExportedLease]) -> Sequence[ParsedProfile]:
        assert export.file is not None
        (folder,) = json.loads(export.file.content)["RootItem"]["Children"]
        servers = [child["Server"] for child in folder["Children"]]
        assert {server["Protocol"] for server in servers} == {2}
        return [
            ParsedProfile(
                server["Name"],
                server["Host"],
                server["Port"],
                server["Username"],
                b64decode(server["Base64Password"]).decode() if "Base64Password" in server else None,
            )
            for server in servers
        ]


class TestFileZilla(ExporterContract):
    exporter = FileZillaExporter
    stores_password = True

    def read_profiles(self, export: Export, leases: Sequence[ExportedLease]) -> Sequence[ParsedProfile]:
        assert export.file is not None
        root = ElementTree.fromstring(export.file.content)
        assert root.tag == "FileZilla3"
        servers = root.findall("./Servers/Folder/Server")
        sites = []
        for server, lease in zip(servers, leases, strict=True):
            assert (server.findtext("Protocol"), server.findtext("Type")) == ("1", "0")
            held = server.find("Pass")
            if held is None:
                assert server.findtext("Logontype") == "5"
                assert server.findtext("Keyfile") == str(lease.key_file)
            else:
                assert (server.findtext("Logontype"), held.get("encoding")) == ("1", "base64")
            if lease.folder.strip("/"):
                assert parse_remote_dir(server.findtext("RemoteDir")) == lease.folder
            sites.append(
                ParsedProfile(
                    server.findtext("Name"),
                    server.findtext("Host"),
                    int(server.findtext("Port")),
                    server.findtext("User"),
                    None if held is None else b64decode(held.text).decode(),
                )
            )
        return sites


def parse_remote_dir(text: str) -> str:
    """Parse a folder of FileZilla's: type, length of the prefix, then each part after its length."""
    kind, prefix, rest = text.split(" ", 2)
    assert (kind, prefix) == ("1", "0")
    parts = []
    while rest:
        size, _, rest = rest.partition(" ")
        parts.append(rest[: int(size)])
        rest = rest[int(size) + 1 :]
    return "/" + "/".join(parts)


class TestWinScp(ExporterContract):
    exporter = WinScpExporter
    stores_password = True

    def read_profiles(self, export: Export, leases: Sequence[ExportedLease]) -> Sequence[ParsedProfile]:
        sites = []
        for line, lease in zip(export.text.split("\n"), leases, strict=True):
            parts = urlsplit(line)
            assert parts.scheme == "sftp"
            login, _, advanced = (parts.netloc.rpartition("@")[0]).partition(";")
            user, colon, password = login.partition(":")
            assert re.fullmatch(r"fingerprint=(ssh|ecdsa)-[a-z0-9-]+-[A-Za-z0-9_-]{43}", advanced)
            assert unquote(parts.path).rstrip("/") == lease.folder.rstrip("/")
            # A URL cannot hold a site name: the address is used instead.
            sites.append(
                ParsedProfile(
                    lease.name,
                    parts.hostname or "",
                    parts.port or 0,
                    unquote(user),
                    unquote(password) if colon else None,
                )
            )
        return [
            ParsedProfile(site.name, lease.endpoint.address, site.port, site.user, site.password)
            if site.host == lease.endpoint.address.lower()
            else site
            for site, lease in zip(sites, leases, strict=True)
        ]


def test_xshell_session_to_the_byte() -> None:
    export = XShellExporter().export_leases([make_lease()])
    assert export.file is not None
    assert export.file.name == "gpurent-mistgpu-abcde.xsh"
    assert export.file.content.startswith(b"\xff\xfe[\x00S\x00")
    assert export.file.content.decode("utf-16").splitlines() == [
        "[SessionInfo]",
        "Version=8.1",
        "[CONNECTION]",
        "Protocol=SSH",
        "Host=gpu28.mistgpu.com",
        "Port=10000",
        "[CONNECTION:AUTHENTICATION]",
        "UserName=mist",
        "Password=",
        "UserKey=",
        "[CONNECTION:SSH]",
        "AgentForwarding=0",
        "ForwardX11=0",
    ]


def test_the_card_for_ftp_rush_2_names_the_protocol() -> None:
    text = FtpRushExporter().export_leases([make_lease()]).text
    assert re.search(r"^protocol +SFTP \(SSH FTP", text, re.MULTILINE)
    assert re.search(r"^host +gpu28\.mistgpu\.com$", text, re.MULTILINE)
    assert "password" not in text
    assert re.search(
        r"^password +word-1234$",
        FtpRushExporter().export_leases([make_lease(password="word-1234")]).text,
        re.MULTILINE,
    )


def test_the_card_is_one_line_a_field_whatever_a_path_holds() -> None:
    odd = ExportedLease(
        name="a",
        endpoint=make_lease().endpoint,
        key_file=Path("/x\nhost  evil"),
        known_hosts=Path("/x"),
        folder="/",
    )
    assert not re.search(r"^host +evil", FtpRushExporter().export_leases([odd]).text, re.MULTILINE)


def test_filezilla_asks_when_the_key_file_cannot_be_written_down() -> None:
    odd = ExportedLease(
        name="a", endpoint=make_lease().endpoint, key_file=Path("/x\x01y"), known_hosts=Path("/x")
    )
    export = FileZillaExporter().export_leases([odd])
    assert export.file is not None
    assert ElementTree.fromstring(export.file.content).findtext(".//Logontype") == "2"


def test_winscp_url_to_the_letter() -> None:
    digest = "Ab-_" + "x" * 39
    export = WinScpExporter().export_leases([make_lease(password="a b@c:/;%")])
    assert export.text == (
        f"sftp://mist:a%20b%40c%3A%2F%3B%25;fingerprint=ssh-ed25519-{digest}"
        "@gpu28.mistgpu.com:10000/home/root/"
    )


@pytest.mark.parametrize(
    "name",
    ["a\nHost b", "a]\n[CONNECTION]", 'a"b', "a%h", "-oProxyCommand=x", "", "a b", "a\r", "模型", "a/../b"],
)
def test_no_name_or_host_can_break_out(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        make_lease(name=name)
    with pytest.raises(Exception, match="host"):
        Endpoint("mist", name, 22)
    with pytest.raises(ValueError, match="folder"):
        make_lease(folder=f"/{name}" if name else "x")
