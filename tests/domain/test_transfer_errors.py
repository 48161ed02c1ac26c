"""What transfer backends report: the same words from every backend, in both languages."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from gpurent import api
from gpurent.locale import set_language


@pytest.fixture
def _chinese() -> Iterator[None]:
    set_language("zh")
    try:
        yield
    finally:
        set_language("en")


@pytest.mark.usefixtures("_chinese")
@pytest.mark.parametrize("problem", api.FileProblem)
def test_every_problem_has_a_chinese_text(problem: api.FileProblem) -> None:
    assert not problem.text.isascii()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "no space left on the machine's disk: a.bin"),
        (errno.EACCES, "permission denied on the machine: a.bin"),
        (errno.ENOENT, "not found on the machine: a.bin"),
        (errno.EISDIR, "something else with this name is in the way on the machine: a.bin"),
        (errno.EIO, "a.bin: its own words"),
    ],
)
def test_a_remote_error_number_has_words_and_keeps_the_detail(number: int, says: str) -> None:
    error = api.remote_file_error(number, "a.bin", "its own words")
    assert error.message == says
    if number != errno.ENOSPC:
        assert error.detail == "its own words"


def test_failures_are_counted_beyond_the_first_five() -> None:
    failures = [(f"f{number}", "gone") for number in range(7)]
    assert api.summarize_failures(failures[:5]) == "; ".join(f"f{number}: gone" for number in range(5))
    assert api.summarize_failures(failures).endswith("f4: gone and 2 more")


def test_a_lost_connection_without_a_reason_ends_with_the_endpoint() -> None:
    endpoint = api.Endpoint("root", "h.example", 22)
    assert api.connection_lost_error(endpoint).message == f"the connection to {endpoint} was lost"
    assert api.connection_lost_error(endpoint, "cut").message == f"the connection to {endpoint} was lost: cut"
