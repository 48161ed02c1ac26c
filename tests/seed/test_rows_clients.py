"""The wiki's rows about desktop clients: what is exported is read by other readers and used by other programs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from base64 import b64decode, b64encode
from configparser import ConfigParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncssh
import pytest

from tests.seed.test_rows_metered import enter, land, rent
from tests.workflow.world import World

__all__ = ["land"]


async def client(*arguments: str, home: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def fields(card: str) -> dict[str, str]:
    """What a person reads off the card."""
    return {line.split("  ")[0]: line.rpartition("  ")[2] for line in card.splitlines()}


def room(land: World, lease: str) -> Path:
    return land.home / "state" / "ssh" / lease


async def test_a2_xshell_session_profile(land: World, tmp_path: Path) -> None:
    await enter(land)
    lease = await rent(land)
    path = tmp_path / "session.xsh"
    said = await land.cli("export", "xshell", lease, "-o", str(path), "--with-password", "--json")
    assert said.code == 0, said.err
    assert path.stat().st_mode & 0o777 == 0o600
    found = ConfigParser(interpolation=None)
    found.read_string(path.read_bytes().decode("utf-16"))
    host, port = found["CONNECTION"]["Host"], int(found["CONNECTION"]["Port"])
    user = found["CONNECTION:AUTHENTICATION"]["UserName"]
    assert found["CONNECTION"]["Protocol"] == "SSH"
    assert user == "mist"

    # XShell keeps passwords in a form of its own: the session asks, and the card says what to type.
    assert found["CONNECTION:AUTHENTICATION"]["Password"] == ""
    password = fields(said.data["text"])["password"]
    assert password.encode("utf-16-le") not in path.read_bytes()
    known = asyncssh.import_known_hosts((room(land, lease) / "known_hosts").read_text())
    login: dict[str, Any] = {"username": user, "password": password, "client_keys": None, "config": None}
    async with asyncssh.connect(host, port, known_hosts=known, **login) as connection:
        assert (await connection.run("echo $USER")).stdout == "mist\n"

    again = await land.cli("export", "xshell", lease, "-o", str(path))
    assert again.code == 2
    assert "--force" in again.err


@pytest.mark.skipif(shutil.which("lftp") is None, reason="lftp is not installed")
async def test_a3_ftp_rush_quick_connect_profile(land: World, tmp_path: Path) -> None:
    await enter(land)
    lease = await rent(land)
    path = tmp_path / "site.json"
    said = await land.cli("export", "ftprush", lease, "-o", str(path), "--with-password", "--json")
    assert said.code == 0, said.err
    (folder,) = json.loads(path.read_text())["RootItem"]["Children"]
    (site,) = folder["Children"]
    server = site["Server"]
    assert server["Protocol"] == 2
    card = fields(said.data["text"])
    assert card["protocol"].startswith("SFTP (SSH FTP")
    assert (card["host"], card["port"], card["user"]) == (
        server["Host"],
        str(server["Port"]),
        server["Username"],
    )

    # Another SFTP program logs in by the profile's host, port, user and password alone.
    hosts = room(land, lease) / "known_hosts"
    ssh = f"ssh -a -x -F none -o UserKnownHostsFile={hosts} -o PubkeyAuthentication=no"
    (tmp_path / "upload.txt").write_text("by SFTP")
    password = b64decode(server["Base64Password"]).decode()
    script = (
        f'set sftp:connect-program "{ssh}"; set net:max-retries 1; set net:timeout 20; '
        f"open -u {server['Username']},{password} -p {server['Port']} sftp://{server['Host']}; "
        f"put {tmp_path / 'upload.txt'}; cat upload.txt; bye"
    )
    code, out, err = await client("lftp", "-f", "/dev/null", "-c", script, home=tmp_path)
    assert (code, out.strip().splitlines()[-1]) == (0, "by SFTP"), err
    assert (await land.cli("exec", lease, "cat upload.txt")).out == "by SFTP"


async def test_a2_a3_no_password_unless_asked_for(land: World, tmp_path: Path) -> None:
    await enter(land)
    lease = await rent(land)
    card = (await land.cli("export", "xshell", lease, "--with-password", "--json")).data["text"]
    password = fields(card)["password"].encode()
    shapes = (password, b64encode(password).rstrip(b"="), quote(password, safe="").encode())
    for program in ("xshell", "ftprush", "filezilla", "winscp", "openssh", "vscode"):
        path = tmp_path / program
        said = await land.cli("export", program, lease, "-o", str(path), "--json")
        assert said.code == 0, said.err
        assert said.data["leases"] == [f"gpurent-{lease}"]
        for shape in shapes:
            assert shape not in path.read_bytes().replace(b"\0", b"")
            assert shape.decode() not in said.out
