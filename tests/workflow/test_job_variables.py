"""Variables of jobs, by the command line: those that are secret are in no file, on neither computer."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from gpurent.testing.shared_sandbox import CommandLineResult
from tests.reliability.test_repeated_commands import log_in_at_mistgpu
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

SECRET, FROM_FILE, PLAIN = "canary-vault-1", "canary-file-2", "plain value"
JOB = """
import hashlib, os
digests = {name: hashlib.sha256(os.environ[name].encode()).hexdigest() for name in ("TOKEN", "KEY", "SEED")}
open("digests.json", "w").write(__import__("json").dumps(digests))
print(os.environ["SEED"], sorted(os.listdir(".")))
"""


def make_folder(sandbox: TripSandbox) -> Path:
    folder = sandbox.home / "project"
    folder.mkdir(parents=True)
    (folder / "job.py").write_text(JOB)
    (folder / ".env").write_text(f"KEY='{FROM_FILE}'\nSEED=from the file\n")
    return folder


def find_in_files(folder: Path, part: str) -> list[str]:
    return sorted(
        path.name
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and part.encode() in path.read_bytes()
    )


async def store_secret(sandbox: TripSandbox, name: str = "TOKEN") -> None:
    put = await sandbox.run_command("vault", "put", name, "--stdin", input_text=f"{SECRET}\n")
    assert put.code == 0, put.err
    assert SECRET not in put.out + put.err


def check_digests(folder: Path) -> None:
    wanted = {"TOKEN": SECRET, "KEY": FROM_FILE, "SEED": PLAIN}
    assert json.loads((folder / "digests.json").read_text()) == {
        name: sha256(value.encode()).hexdigest() for name, value in wanted.items()
    }


async def test_a_trip_hands_its_job_variables_and_keeps_the_secret_ones(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        folder = make_folder(sandbox)
        await store_secret(sandbox, "LAB_TOKEN")
        ran = await sandbox.run_command(
            *("-y", "run", "-p", "mistgpu", "--results", "digests.json", "--env-file", ".env"),
            *("--env", f"SEED={PLAIN}", "--secret", "TOKEN=LAB_TOKEN", "--keep", "--", "python3", "job.py"),
            folder=folder,
        )
        assert ran.code == 0, ran.err
        check_digests(folder)
        assert f"{PLAIN} ['digests.json', 'job.py']" in ran.out, "the file with the variables is not there"
        assert find_in_files(tmp_path, SECRET) == []
        assert find_in_files(tmp_path, FROM_FILE) == [".env"]
        shown = await sandbox.run_command("trips", "show", "--json")
        assert SECRET not in shown.out
        (lease,) = (await sandbox.run_command("ls", "--json")).data
        name = lease["id"]
        again = await sandbox.run_command(
            *("start", name, "--name", "second", "--secret", "TOKEN=LAB_TOKEN", "--env", "A=b c", "--"),
            'printf %s "$TOKEN$A" | sha256sum; sleep 1',
        )
        assert again.code == 0, again.err
        logs = await sandbox.run_command("logs", name, "second", "--follow")
        assert sha256(f"{SECRET}b c".encode()).hexdigest() in logs.out
        assert find_in_files(tmp_path, SECRET) == []
        assert (await sandbox.run_command("-y", "release", name)).code == 0


async def test_a_project_file_names_variables_and_setup_gets_the_plain_ones(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        folder = make_folder(sandbox)
        await store_secret(sandbox)
        (folder / "gpurent.toml").write_text(
            'provider = ["mistgpu"]\ncommand = ["python3", "job.py"]\nresults = ["digests.json"]\n'
            'env = ["SEED=other", "UNUSED=1"]\nenv_file = ".env"\nsecret = ["TOKEN"]\n'
            """setup = ['test "$UNUSED" = 1', 'test -z "$TOKEN$KEY"']\n"""
        )
        shown = await sandbox.run_command("plan", "--env", f"SEED={PLAIN}", folder=folder)
        assert 'secret = ["TOKEN"]' in shown.out, "trust is asked for what the job gets"
        assert (await trust(sandbox, folder)).code == 0
        ran = await sandbox.run_command("-y", "run", "--env", f"SEED={PLAIN}", folder=folder)
        assert ran.code == 0, ran.err
        check_digests(folder)


async def trust(sandbox: TripSandbox, folder: Path) -> CommandLineResult:
    digest = sha256((folder / "gpurent.toml").read_bytes()).hexdigest()
    return await sandbox.run_command("trust", "--sha256", digest, folder=folder)


async def test_what_is_missing_is_said_before_anything_is_rented(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        await log_in_at_mistgpu(sandbox)
        folder = make_folder(sandbox)
        (folder / "bad.env").write_text("A=1\nnot a variable\n")
        run = ("-y", "run", "-p", "mistgpu", "--json")
        for options, text in (
            (("--secret", "TOKEN"), "the vault has no secret TOKEN for jobs"),
            (("--env-file", "bad.env"), "line 2: expected NAME=VALUE"),
            (("--env", "GPURENT_HOME=/"), "names that begin with GPURENT_ are gpurent's own"),
            (("--env", "A"), "expected NAME=VALUE"),
        ):
            ran = await sandbox.run_command(*run, *options, "--", "true", folder=folder)
            error = json.loads(ran.out)["error"]
            assert (ran.code, error["code"]) == (2, "usage")
            assert text in error["message"]
        assert (await sandbox.run_command("trips", "--json")).data == []
        (folder / "gpurent.toml").write_text('command = ["true"]\nenv_file = "linked/.env"\n')
        (folder / "linked").symlink_to(tmp_path)
        (tmp_path / ".env").write_text("A=1\n")
        assert (await trust(sandbox, folder)).code == 0
        ran = await sandbox.run_command(*run, folder=folder)
        assert "symbolic link" in json.loads(ran.out)["error"]["message"]
        assert list(sandbox.cloud.burning()) == []


async def test_secrets_of_jobs_are_listed_and_deleted(tmp_path: Path) -> None:
    async with trip_sandbox(tmp_path) as sandbox:
        empty = await sandbox.run_command("vault", "list")
        assert "gpurent vault put NAME" in empty.out
        for name in ("B", "A"):
            await store_secret(sandbox, name)
        assert (await sandbox.run_command("vault", "list", "--json")).data == ["A", "B"]
        assert (await sandbox.run_command("vault", "delete", "A")).code == 0
        assert (await sandbox.run_command("vault", "list")).out == "B\n"
        missing = await sandbox.run_command("vault", "delete", "A")
        assert (missing.code, "gpurent vault list" in missing.err) == (2, True)
        wrong = await sandbox.run_command("vault", "put", "a b", "--stdin", input_text="x")
        assert "a name has letters, digits and _" in wrong.err
        nobody = await sandbox.run_command("vault", "put", "C", "--json")
        assert json.loads(nobody.out)["error"]["code"] == "input-required"
        typed = await sandbox.run_at_terminal("vault", "put", "C", answers={"Value of C": SECRET})
        assert typed.code == 0
        assert SECRET not in typed.out + typed.err
        async with sandbox.open_application() as application:
            found = application.secrets.get_vault("@job").get("C")
            assert found is not None
            assert found.reveal() == SECRET
