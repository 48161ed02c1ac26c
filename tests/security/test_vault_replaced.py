"""A vault in place of the one that was used last: another kind, an older one, parts of an older one, another one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from gpurent.domain.question import Question
from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError, InputRequired, StorageError, UsageError
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.platform.posix.system import make_private_folder
from gpurent.infra.vault.access import VaultAccess
from gpurent.infra.vault.file_vault import FileVault
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command
from tests.security.attacks import Adversary, Outcome, attack

PASSPHRASE = "correct horse battery staple"
NEW, OLD = Secret("the new password"), Secret("the old password")


@frozen
class Computer:
    """A user's data folder and the folder outside of it."""

    root: Path

    @property
    def home(self) -> Path:
        return make_private_folder(self.root / "home")

    @property
    def folder(self) -> Path:
        return make_private_folder(self.home / "vault")

    @property
    def environment(self) -> dict[str, str]:
        return {"GPURENT_STATE_HOME": str(self.root / "outside"), "GPURENT_HOME": str(self.home)}

    def open(self, passphrase: str | None = None) -> FileVault:
        """Open the vault as a new process does."""
        given = Secret(passphrase) if passphrase else None
        return FileVault(self.folder, lambda _new: given, make_outside_records(self.home, self.environment))

    def open_for(self, *answers: str, passphrase: str = "") -> VaultAccess:
        """Open the vault for a user who gives these answers, and then none."""
        left = list(answers)

        async def ask(question: Question) -> str | None:
            return left.pop(0) if left else None

        given = {**self.environment, **({"GPURENT_PASSPHRASE": passphrase} if passphrase else {})}
        return VaultAccess(self.folder, given, ask, make_outside_records(self.home, given))

    def copy_vault(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def put_back(self, files: dict[str, bytes]) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        for name, data in files.items():
            (self.folder / name).touch(0o600)
            (self.folder / name).write_bytes(data)

    def change(self, change: Callable[[dict[str, Any]], object]) -> None:
        path = self.folder / "vault.json"
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content))

    def run(self, *arguments: str, **more: str) -> CommandLineResult:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.root), **self.environment, **more}
        return run_command(*arguments, environment=environment, folder=self.root)


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def make_changed_password(computer: Computer, passphrase: str | None = None) -> dict[str, bytes]:
    """Put an old password, then a new one; return the vault as it was with the old one."""
    computer.open(passphrase).put("acme/password", OLD)
    before = computer.copy_vault()
    computer.open(passphrase).put("acme/password", NEW)
    return before


def make_foreign_vault(root: Path, passphrase: str | None = None) -> dict[str, bytes]:
    """Return a vault of an attacker's own, with more writes than any other here."""
    there = Computer(make_private_folder(root / "attacker"))
    for _turn in range(5):
        there.open(passphrase).put("acme/password", Secret("the attacker's"))
    return there.copy_vault()


@attack(
    Adversary.LOCAL_USER,
    "a vault with a passphrase is replaced by one with a key file, known to the attacker",
    Outcome.ASKED,
    kind="S10",
)
def test_a_vault_without_a_passphrase_in_place_of_one_with_it_is_not_read(computer: Computer) -> None:
    computer.open(PASSPHRASE).put("acme/password", NEW)
    computer.put_back(make_foreign_vault(computer.root))
    for given in (PASSPHRASE, None):
        with pytest.raises(InputRequired, match="had a passphrase"):
            computer.open(given).get("acme/password")
        with pytest.raises(InputRequired, match="had a passphrase"):
            computer.open(given).put("acme/token", Secret("a secret that the attacker could read"))
    assert b"token" not in computer.copy_vault()["vault.json"]


@attack(
    Adversary.LOCAL_USER,
    "a vault with a passphrase is deleted, so that the next login makes one that needs none",
    Outcome.REFUSED,
    kind="S10",
)
def test_a_deleted_vault_with_a_passphrase_is_not_made_anew_without_one(computer: Computer) -> None:
    computer.open(PASSPHRASE).put("acme/password", NEW)
    computer.put_back({})
    with pytest.raises(InputRequired, match="a new one would have none"):
        computer.open().put("acme/password", NEW)
    assert "vault.json" not in computer.copy_vault()
    computer.open(PASSPHRASE).put("acme/password", NEW)
    assert computer.open(PASSPHRASE).get("acme/password") == NEW


@attack(
    Adversary.LOCAL_USER,
    "a passphrase is in the environment, and a vault that does not need it is there on the first use",
    Outcome.ASKED,
    kind="S10",
)
def test_a_passphrase_that_nothing_needs_is_told_on_the_first_use(computer: Computer) -> None:
    computer.put_back(make_foreign_vault(computer.root))
    with pytest.raises(InputRequired, match="GPURENT_PASSPHRASE is set, but"):
        computer.open(PASSPHRASE).get("acme/password")
    assert computer.open().get("acme/password") is not None, "who gives none is not bothered"


@attack(
    Adversary.LOCAL_USER, "one old record in place of the newer one in the vault", Outcome.REFUSED, kind="S10"
)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_an_old_record_is_not_believed(computer: Computer, passphrase: str | None) -> None:
    before = make_changed_password(computer, passphrase)
    old = json.loads(before["vault.json"])["records"]
    computer.change(lambda content: content["records"].update(old))
    with pytest.raises(StorageError, match="changed by something else"):
        computer.open(passphrase).get("acme/password")


@attack(Adversary.LOCAL_USER, "a record is deleted from the vault", Outcome.REFUSED, kind="S10")
def test_a_record_that_was_removed_is_noticed(computer: Computer) -> None:
    make_changed_password(computer)
    computer.open().put("acme/other", NEW)
    computer.change(lambda content: content["records"].pop("acme/other"))
    with pytest.raises(StorageError, match="changed by something else"):
        computer.open().get("acme/password")


@attack(
    Adversary.LOCAL_USER,
    "a whole old vault, with its key, in place of the newer one",
    Outcome.ASKED,
    kind="S10",
)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_an_old_vault_is_not_read(computer: Computer, passphrase: str | None) -> None:
    before = make_changed_password(computer, passphrase)
    computer.put_back(before)
    for _again in range(2):
        with pytest.raises(InputRequired, match="older than the one used last"):
            computer.open(passphrase).get("acme/password")


@attack(
    Adversary.LOCAL_USER,
    "an old vault that says it is newer: its count of writes is raised",
    Outcome.REFUSED,
    kind="S10",
)
def test_a_raised_count_does_not_help(computer: Computer) -> None:
    computer.put_back(make_changed_password(computer))
    computer.change(lambda content: content.update(revision=99))
    with pytest.raises(StorageError, match="changed by something else"):
        computer.open().get("acme/password")


@attack(
    Adversary.LOCAL_USER,
    "an old vault of the format that had neither count nor seal",
    Outcome.ASKED,
    kind="S10",
)
def test_the_old_format_is_not_a_way_around(computer: Computer) -> None:
    computer.put_back(make_changed_password(computer))

    def make_version_1(content: dict[str, Any]) -> None:
        content["version"] = 1
        del content["revision"], content["seal"]

    computer.change(make_version_1)
    with pytest.raises(InputRequired, match="older than the one used last"):
        computer.open().get("acme/password")


@attack(
    Adversary.LOCAL_USER,
    "a foreign vault and its key file, written more often than the user's",
    Outcome.ASKED,
    kind="S10",
)
def test_a_foreign_vault_is_not_read(computer: Computer) -> None:
    computer.open().put("acme/password", NEW)
    computer.put_back(make_foreign_vault(computer.root))
    with pytest.raises(InputRequired, match="another one is in its place"):
        computer.open().get("acme/password")


@attack(
    Adversary.LOCAL_USER,
    "an old data folder as a whole, with what it recorded of its vault",
    Outcome.ASKED,
    kind="S10",
)
def test_an_old_data_folder_is_noticed_by_the_record_outside_of_it(computer: Computer) -> None:
    computer.open().put("acme/password", OLD)
    shutil.copytree(computer.home, computer.root / "backup")
    computer.open().put("acme/password", NEW)
    home = computer.home
    shutil.rmtree(home)
    shutil.copytree(computer.root / "backup", home)
    with pytest.raises(InputRequired, match="older than the one used last"):
        computer.open().get("acme/password")


@attack(
    Adversary.LOCAL_USER,
    "the record outside of the data folder is damaged or deleted",
    Outcome.ASKED,
    kind="S10",
)
@pytest.mark.parametrize("damage", [b"", b"[]", b'{"vault": 7}', b'{"vault": {"kind": 1, "revision": "x"}}'])
def test_one_lost_record_is_no_way_around(computer: Computer, damage: bytes) -> None:
    before = make_changed_password(computer)
    computer.put_back(before)
    for place in computer.root.glob("outside/*"):
        place.write_bytes(damage)
    with pytest.raises(InputRequired, match="older than the one used last"):
        computer.open().get("acme/password")


def test_a_restored_backup_is_one_plain_question_and_no_dead_end(computer: Computer) -> None:
    before = make_changed_password(computer)
    computer.put_back(before)
    told = computer.run("whoami")
    assert "older than the one used last" in told.err
    assert "gpurent vault show" in told.err
    shown = computer.run("vault", "show", "--json")
    assert shown.code == 0, shown.err
    assert not shown.data["is_same"]
    refused = computer.run("-y", "vault", "accept")
    assert refused.code == InputRequired.exit_code
    assert shown.data["sha256"] in refused.err
    wrong = computer.run("vault", "accept", "--sha256", "0" * 64)
    assert wrong.code == UsageError.exit_code
    accepted = computer.run("vault", "accept", "--sha256", shown.data["sha256"], "--json")
    assert accepted.code == 0, accepted.err
    assert computer.open().get("acme/password") == OLD
    assert computer.run("vault", "show", "--json").data["is_same"]
    assert computer.run("whoami").err == ""
    # From now on the other one is the one that is not used.
    computer.put_back({**before, "vault.json": before["vault.json"]})
    with pytest.raises(InputRequired):
        computer.open().get("acme/password")


async def test_a_user_at_the_terminal_is_asked_once(computer: Computer) -> None:
    computer.put_back(make_changed_password(computer))
    refusing = computer.open_for("no")
    assert await refusing.confirm_change()
    with pytest.raises(InputRequired):
        refusing.get_vault("acme").get("password")
    agreeing = computer.open_for("yes")
    assert await agreeing.confirm_change() == ""
    assert agreeing.get_vault("acme").get("password") == OLD
    later = computer.open_for()
    await later.confirm_change()
    assert later.get_vault("acme").get("password") == OLD


async def test_a_backup_with_a_passphrase_is_accepted_with_it(computer: Computer) -> None:
    computer.put_back(make_changed_password(computer, PASSPHRASE))
    agreeing = computer.open_for("yes", PASSPHRASE)
    await agreeing.confirm_change()
    await agreeing.unlock()
    assert agreeing.get_vault("acme").get("password") == OLD


def test_a_vault_of_an_older_gpurent_is_used_and_sealed_at_its_next_write(computer: Computer) -> None:
    computer.open().put("acme/password", OLD)
    for place in (*computer.root.glob("outside/*"), computer.home / "outside-records.json"):
        place.unlink()
    computer.change(lambda content: (content.update(version=1), content.pop("revision"), content.pop("seal")))
    assert computer.open().get("acme/password") == OLD
    computer.open().put("acme/token", NEW)
    assert computer.open().get("acme/password") == OLD
    assert json.loads(computer.copy_vault()["vault.json"])["version"] == 2


def test_a_writer_that_died_before_its_record_is_no_alarm(computer: Computer) -> None:
    records = make_outside_records(computer.home, computer.environment)
    computer.open().put("acme/password", OLD)
    kept = records.list_values("vault")[0]
    computer.open().put("acme/password", NEW)
    records.update("vault", lambda _values: kept)
    assert computer.open().get("acme/password") == NEW


@attack(
    Adversary.LOCAL_USER,
    "a short passphrase is guessed from a copy of the vault",
    Outcome.REFUSED,
    kind="S10",
)
@pytest.mark.parametrize("text", ["1", "hunter2", "elevenchars"])
def test_a_short_passphrase_makes_no_vault(computer: Computer, text: str) -> None:
    with pytest.raises(UsageError, match="at least 12 characters"):
        computer.open(text).put("acme/password", NEW)
    assert "vault.json" not in computer.copy_vault()


async def test_a_short_passphrase_is_asked_for_again(computer: Computer) -> None:
    user = computer.open_for("short", PASSPHRASE)
    await user.unlock(create=True)
    user.get_vault("acme").put("password", NEW)
    assert computer.open(PASSPHRASE).get("acme/password") == NEW
    with pytest.raises(GpurentError):
        computer.open("short").get("acme/password")
