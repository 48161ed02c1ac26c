"""Links from a hostile remote side: those that are accepted lead nowhere else, alone or together."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st

from gpurent.domain.filenames import link_reject_reason

PART = st.sampled_from(["a", "b", "c", "..", ".", "", "up"])
TARGET = st.lists(PART, min_size=1, max_size=6).map("/".join)
PLACE = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(lambda parts: ("top", *parts))


@pytest.mark.parametrize(
    ("place", "target"),
    [
        (("top",), "file"),
        (("top",), "./sub//file"),
        (("top",), "sub/"),
        (("top",), "."),
        (("top", "sub"), ".."),
        (("top", "sub"), "../file"),
        (("top", "sub", "deep"), "../../file"),
        (("top",), "../other/file"),
        ((), "top/file"),
        (("top",), "..."),
        (("top",), "..file"),
        (("top",), "-rf"),
    ],
)
def test_links_that_stay_inside(place: tuple[str, ...], target: str) -> None:
    assert link_reject_reason(place, target, {"top", "other"}, 255) == ""


@pytest.mark.parametrize(
    ("place", "target", "reason"),
    [
        (("top",), "", "no target"),
        (("top",), "/etc/passwd", "absolute"),
        (("top",), "..", "outside"),
        (("top",), "../stranger", "outside"),
        (("top",), "../../top", "outside"),
        ((), "..", "outside"),
        ((), "stranger", "outside"),
        ((), ".", "outside"),
        (("top",), "a/../b", "up again"),
        (("top",), "a/..", "up again"),
        (("top",), "a\0b", "separator"),
        (("top",), "a\x1b", "control"),
        (("top",), "\udcff", "UTF-8"),
        (("top",), "x" * 256, "too long"),
        (("top",), "x/" * 2001, "too long"),
    ],
)
def test_links_that_leave_the_folder(place: tuple[str, ...], target: str, reason: str) -> None:
    assert reason in link_reject_reason(place, target, {"top"}, 255)


@settings(max_examples=60, deadline=None)
@example([(("top",), "a"), (("top", "a", "b"), "../.."), (("top",), "a/b/up/../..")])
@given(st.lists(st.tuples(PLACE, TARGET), min_size=1, max_size=8))
def test_no_set_of_links_leaves_the_folder(links: list[tuple[tuple[str, ...], str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "home"
        for parts in itertools.product("abc", repeat=3):
            (root / "top" / Path(*parts)).mkdir(parents=True)
        made = []
        for number, (place, target) in enumerate(links):
            if not link_reject_reason(place, target, {"top"}, 255):
                # Where the remote side may have put it: in a folder, or under a name that other paths go through.
                name = root.joinpath(*place, "up" if number % 2 else f"l{number}")
                if not os.path.lexists(name):
                    name.symlink_to(target)
                    made.append(name)
        for link in made:
            if not _is_loop(link):
                assert link.resolve().is_relative_to(root), (link, link.readlink())


def _is_loop(link: Path) -> bool:
    """Return whether the link is a loop: it leads nowhere, and the path that Python resolves it to means nothing."""
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
