"""The notes of transferred files: what one machine's transfers may replace, and what is left of damaged notes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gpurent.infra.transferred_files import COMMON_NAME, KEEP_SECONDS, TransferredFileNotes

A, B, C, D = (bytes([number]) * 16 for number in range(1, 5))


@pytest.fixture
def notes(tmp_path: Path) -> TransferredFileNotes:
    return TransferredFileNotes(tmp_path / "notes")


def note(
    notes: TransferredFileNotes, *names: str, sent: Sequence[bytes] = (), came: Sequence[bytes] = ()
) -> None:
    with closing(notes.open_records(names)) as records:
        records.add(sent, came=False)
        records.add(came, came=True)


def known(notes: TransferredFileNotes, *names: str) -> set[bytes]:
    with closing(notes.open_records(names)) as records:
        return {state for state in (A, B, C, D) if state in records}


def test_what_was_sent_counts_for_that_machine_alone(notes: TransferredFileNotes) -> None:
    note(notes, "lease 1", sent=[A])
    assert known(notes, "lease 1") == {A}
    assert known(notes, "lease 2") == set()
    assert known(notes, "lease 2", "lease 1") == {A}


def test_what_came_counts_for_machines_that_are_used_later(notes: TransferredFileNotes) -> None:
    note(notes, "lease 1", sent=[A])
    note(notes, "lease 2", came=[B])
    assert known(notes, "lease 1") == {A}, "it came when the first machine had its files already"
    assert known(notes, "lease 3") == {B}
    note(notes, "lease 1", came=[C])
    assert known(notes, "lease 3") == {B}
    assert known(notes, "lease 4") == {B, C}


def test_states_are_noted_for_other_names_too_and_not_taken_from_them(notes: TransferredFileNotes) -> None:
    note(notes, "lease 1", sent=[A])
    with closing(notes.open_records(["trip 1"], also=["lease 1"])) as records:
        assert A not in records
        records.add([B], came=False)
        records.add([C], came=True)
    assert known(notes, "trip 1") == {B, C}
    assert known(notes, "lease 1") == {A, B, C}


def test_a_common_file_that_was_lost_gives_no_number_twice(notes: TransferredFileNotes) -> None:
    note(notes, "lease 2", came=[A, B])
    note(notes, "lease 1", sent=[C])
    (notes.folder / COMMON_NAME).unlink()
    note(notes, "lease 2", came=[D])
    assert known(notes, "lease 1") == {C}, "the other one came later"


def test_the_oldest_states_are_dropped(tmp_path: Path) -> None:
    notes = TransferredFileNotes(tmp_path / "notes", max_common=1)
    note(notes, "lease 1", came=[A, B])
    note(notes, "lease 2", sent=[A])
    note(notes, "lease 1", came=[C])
    assert known(notes, "lease 3") == {C}
    assert known(notes, "lease 2") == {A}, "B was dropped, and C came later"
    assert known(notes, "lease 1") == {A, B, C}
    note(notes, "lease 1", came=[D])
    assert known(notes, "lease 4") == {C, D}


@pytest.mark.parametrize("cut", [1, 15])
def test_a_note_that_was_cut_short_does_no_harm(notes: TransferredFileNotes, cut: int) -> None:
    note(notes, "lease 1", sent=[A], came=[B])
    for path in notes.folder.iterdir():
        os.truncate(path, path.stat().st_size + cut - 16)
    note(notes, "lease 1", came=[C, D])
    assert known(notes, "lease 1") == {A, C, D}
    assert known(notes, "lease 2") == {C, D}


@pytest.mark.parametrize("damage", ["empty", "text", "gone"])
def test_without_the_notes_nothing_is_known(notes: TransferredFileNotes, damage: str) -> None:
    note(notes, "lease 1", sent=[A], came=[B])
    for path in notes.folder.iterdir():
        path.unlink()
        if damage != "gone":
            path.write_text("" if damage == "empty" else "some text" * 99)
    assert known(notes, "lease 1") == set()
    note(notes, "lease 1", sent=[A])
    assert known(notes, "lease 1") == {A}


def test_a_folder_that_cannot_be_written_only_forgets(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("in the way")
    notes = TransferredFileNotes(tmp_path / "notes")
    with closing(notes.open_records(["lease 1"])) as records:
        records.add([A], came=True)
        assert A in records
    assert known(notes, "lease 1") == set()


def test_the_notes_of_machines_that_nobody_uses_are_dropped(notes: TransferredFileNotes) -> None:
    note(notes, "lease 1", sent=[A], came=[B])
    old = time.time() - KEEP_SECONDS - 60
    for path in notes.folder.iterdir():
        os.utime(path, (old, old))
    assert known(notes, "lease 2") == {B}
    assert known(notes, "lease 1") == {B}, "its own notes are gone; what came is kept"
