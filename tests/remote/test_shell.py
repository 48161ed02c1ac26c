"""Commands arrive as they were meant, and only marked output is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.remote.shell import (
    ProbeSection,
    fill_template,
    iter_marked_lines,
    parse_sections,
    probe_command,
    sh_command,
    split_after_marks,
)
from tests.remote.local_shell import run_here

ODD = ["a b", "it's", '"$HOME"', "`id`", "a\nb", "-n", "", "*"]


def test_a_template_is_filled_in_one_pass() -> None:
    assert fill_template("@a@ @b@ @a@", a="@b@", b=7) == "@b@ 7 @b@"
    assert fill_template("a@b.c @A@ @a1@", a=1) == "a@b.c @A@ @a1@"
    with pytest.raises(KeyError):
        fill_template("@missing@")


def test_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    script = 'printf "%s|" "$0" "$@"'
    assert run_here(sh_command(script, *ODD), tmp_path) == "|".join(["gpurent", *ODD, ""])
    assert run_here(sh_command(script, name="file"), tmp_path) == "file|"
    assert run_here(probe_command(script, *ODD), tmp_path) == "|".join(["gpurent", *ODD, ""])
    assert run_here(probe_command(script, name="file"), tmp_path) == "file|"


def test_a_probe_can_ask_for_programs_and_speaks_english(tmp_path: Path) -> None:
    script = "has sh && echo @word@; has no-such-program || echo none; echo $LC_ALL"
    assert run_here(probe_command(script, word="yes"), tmp_path) == "yes\nnone\nC\n"


def test_only_marked_lines_are_read() -> None:
    output = "Welcome\nmark one X\nmark two \r\n mark three\nmark \nmail mark four\nmark mark five"
    assert list(iter_marked_lines(output, "mark ")) == ["one X", "two ", "", "mark five"]


def test_what_follows_marks() -> None:
    output = "Welcome\nmark\none\nmark\ntwo\nmark\nthree\n"
    assert split_after_marks(output, "mark") == ["one\nmark\ntwo\nmark\nthree\n"]
    assert split_after_marks(output, "mark", 2) == ["one\n", "two\nmark\nthree\n"]
    assert split_after_marks(output, "mark", 3) == ["one\n", "two\n", "three\n"]
    assert split_after_marks(output, "mark", 4) is None
    assert split_after_marks("mark", "mark") is None


def test_sections_of_tools() -> None:
    output = """noise
@begin lspci
one
 two
@err lspci
 warning
@end lspci 1
noise
@begin file /etc/os-release
@end file /etc/os-release 0
@begin slow
part
@end slow hangs
@begin lspci
again
@end lspci 0
@begin open
"""
    sections = parse_sections(output, "@")
    assert sections == {
        "lspci": ProbeSection(1, "one\n two", "warning"),
        "file /etc/os-release": ProbeSection(0, "", ""),
        "slow": ProbeSection(None, "part", ""),
    }
    assert sections["slow"].timed_out
    assert not sections["lspci"].timed_out


@pytest.mark.parametrize(
    ("lines", "sections"),
    [
        ("@begin a|x|@end b 0|@end a 0", {"a": ProbeSection(0, "x\n@end b 0")}),
        ("@begin a|x|@begin b|y|@end b 2", {"b": ProbeSection(2, "y")}),
        ("@begin a|x|@begin b|y|@end a 0|@end b 2", {"b": ProbeSection(2, "y\n@end a 0")}),
        ("@begin a|x|@err b|y|@end a 0", {"a": ProbeSection(0, "x\n@err b\ny")}),
        ("@begin a|x|@err a|y|@err a|z|@end a 0", {"a": ProbeSection(0, "x", "y\n@err a\nz")}),
        ("@begin a|@end a 1000|@end a 999", {"a": ProbeSection(999, "@end a 1000")}),
        ("@begin a|@end a x|@end a 0", {"a": ProbeSection(0, "@end a x")}),
        ("@begin a|@end a \u0663|@end a 3", {"a": ProbeSection(3, "@end a \u0663")}),
        ("@begin A|x|@end A 0", {}),
        ("@end a 0|@err a|@end  0", {}),
        ("@begin a|@end a 0|@err a|late|@end a 1", {"a": ProbeSection(0, "")}),
        (" @begin a|@end a 0", {}),
    ],
)
def test_sections_that_are_not_as_they_should_be(lines: str, sections: dict[str, ProbeSection]) -> None:
    assert parse_sections(lines.replace("|", "\n"), "@") == sections
