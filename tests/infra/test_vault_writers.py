"""Several processes write one vault, and are killed: no confirmed secret is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from gpurent.domain.secret import Secret
from tests.infra.vault_files import open_vault, scope

WRITER_SCRIPT = """
import sys
from pathlib import Path
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.vault.access import ScopedVault
from gpurent.infra.vault.file_vault import FileVault
from gpurent.domain.secret import Secret
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
records = make_outside_records(folder.parent, {})
vault = ScopedVault(FileVault(folder, lambda first: None, records), name)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(count):
    vault.put(f"{turn % 50}", Secret(f"{name}:{turn}:" + "x" * 500))
    print(turn, flush=True)
"""


def start_writer(folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER_SCRIPT, folder, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def test_two_writers_from_the_very_first_write_lose_nothing(folder: Path) -> None:
    children = [start_writer(folder, name, 25) for name in ("left", "right")]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    for name in ("left", "right"):
        vault = scope(open_vault(folder), name)
        for turn in range(25):
            found = vault.get(f"{turn}")
            assert found is not None
            assert found.reveal().startswith(f"{name}:{turn}:")


def test_kill_9_while_writing_keeps_all_confirmed_secrets(folder: Path) -> None:
    kept = 0
    for turn in range(300):
        if turn >= 8 and kept:
            break
        child = start_writer(folder, f"w{turn}", 1_000_000)
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
        time.sleep(0.02 + turn % 8 * 0.013)
        child.kill()
        confirmed = child.communicate()[0].split()
        assert child.returncode == -signal.SIGKILL
        vault = scope(open_vault(folder), f"w{turn}")
        for number in map(int, confirmed[-50:]):
            found = vault.get(f"{number % 50}")
            assert found is not None
            # A write after the last reported one may have finished too.
            assert int(found.reveal().split(":")[1]) in (number, number + 50)
            kept += 1
        open_vault(folder).put("after", Secret("still works"))
        assert {path.name for path in folder.iterdir()} == {"vault.json", "vault.key", "vault.lock"}
    assert kept > 0
