"""The wiki's rows about desktop clients: exports are parsed by other readers and used by other programs."""

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

from tests.seed.test_rows_metered import log_in_with_money, rent_machine, sandbox
from tests.workflow.trip_sandbox import TripSandbox

__all__ = ["sandbox"]


async def run_client(*arguments: str, home: Path) -> tuple[int, str, str]:
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


def parse_card(card: str) -> dict[str, str]:
    """Return the fields that a user reads on the card."""
    return {line.split("  ")[0]: line.rpartition("  ")[2] for line in card.splitlines()}


def get_lease_folder(sandbox: TripSandbox, lease: str) -> Path:
    return sandbox.home / "state" / "ssh" / lease


async def test_a2_xshell_session_profile(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    path = tmp_path / "session.xsh"
    result = await sandbox.run_command(
        "export", "xshell", lease, "-o", str(path), "--with-password", "--json"
    )
    assert result.code == 0, result.err
    assert path.stat().st_mode & 0o777 == 0o600
    found = ConfigParser(interpolation=None)
    found.read_string(path.read_bytes().decode("utf-16"))
    host, port = found["CONNECTION"]["Host"], int(found["CONNECTION"]["Port"])
    user = found["CONNECTION:AUTHENTICATION"]["UserName"]
    assert found["CONNECTION"]["Protocol"] == "SSH"
    assert user == "mist"

    # XShell stores passwords in its own format: the session asks for it, and the card says what to type.
    assert found["CONNECTION:AUTHENTICATION"]["Password"] == ""
    password = parse_card(result.data["text"])["password"]
    assert password.encode("utf-16-le") not in path.read_bytes()
    known = asyncssh.import_known_hosts((get_lease_folder(sandbox, lease) / "known_hosts").read_text())
    login: dict[str, Any] = {"username": user, "password": password, "client_keys": None, "config": None}
    async with asyncssh.connect(host, port, known_hosts=known, **login) as connection:
        assert (await connection.run("echo $USER")).stdout == "mist\n"

    again = await sandbox.run_command("export", "xshell", lease, "-o", str(path))
    assert again.code == 2
    assert "--force" in again.err


@pytest.mark.skipif(shutil.which("lftp") is None, reason="lftp is not installed")
async def test_a3_ftp_rush_quick_connect_profile(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    path = tmp_path / "site.json"
    result = await sandbox.run_command(
        "export", "ftprush", lease, "-o", str(path), "--with-password", "--json"
    )
    assert result.code == 0, result.err
    (folder,) = json.loads(path.read_text())["RootItem"]["Children"]
    (site,) = folder["Children"]
    server = site["Server"]
    assert server["Protocol"] == 2
    card = parse_card(result.data["text"])
    assert card["protocol"].startswith("SFTP (SSH FTP")
    assert (card["host"], card["port"], card["user"]) == (
        server["Host"],
        str(server["Port"]),
        server["Username"],
    )

    # Another SFTP program logs in with only the profile's host, port, user and password.
    hosts = get_lease_folder(sandbox, lease) / "known_hosts"
    ssh = f"ssh -a -x -F none -o UserKnownHostsFile={hosts} -o PubkeyAuthentication=no"
    (tmp_path / "upload.txt").write_text("by SFTP")
    password = b64decode(server["Base64Password"]).decode()
    script = (
        f'set sftp:connect-program "{ssh}"; set net:max-retries 1; set net:timeout 20; '
        f"open -u {server['Username']},{password} -p {server['Port']} sftp://{server['Host']}; "
        f"put {tmp_path / 'upload.txt'}; cat upload.txt; bye"
    )
    code, out, err = await run_client("lftp", "-f", "/dev/null", "-c", script, home=tmp_path)
    assert (code, out.strip().splitlines()[-1]) == (0, "by SFTP"), err
    assert (await sandbox.run_command("exec", lease, "cat upload.txt")).out == "by SFTP"


async def test_a2_a3_no_password_unless_asked_for(sandbox: TripSandbox, tmp_path: Path) -> None:
    await log_in_with_money(sandbox)
    lease = await rent_machine(sandbox)
    card = (await sandbox.run_command("export", "xshell", lease, "--with-password", "--json")).data["text"]
    password = parse_card(card)["password"].encode()
    shapes = (password, b64encode(password).rstrip(b"="), quote(password, safe="").encode())
    for program in ("xshell", "ftprush", "filezilla", "winscp", "openssh", "vscode"):
        path = tmp_path / program
        result = await sandbox.run_command("export", program, lease, "-o", str(path), "--json")
        assert result.code == 0, result.err
        assert result.data["leases"] == [f"gpurent-{lease}"]
        for shape in shapes:
            assert shape not in path.read_bytes().replace(b"\0", b"")
            assert shape.decode() not in result.out
