"""Variables of a job: what is typed, and what is in a file as others write it."""

from __future__ import annotations

import pytest

from gpurent.domain.job_variables import (
    merge_variables,
    parse_secret_name,
    parse_variable,
    parse_variable_file,
    split_secret_names,
    split_variables,
)

FILE = """\ufeff# what the job needs
SEED=1
export NAME = two words   # a comment
EMPTY=
HASH=a#b
SINGLE='as it is: $HOME \\n # no comment'
DOUBLE="tab\\tquote\\" dollar\\$ back\\\\ \\d" # a comment
URL=https://example.com/?a=b&c=d
MANY="first
second"

KEY='-----BEGIN KEY-----
abc=
-----END KEY-----'
SEED=2
"""


def test_a_file_is_read_as_others_write_it() -> None:
    for text in (FILE, FILE.replace("\n", "\r\n")):
        assert parse_variable_file(text) == {
            "SEED": "2",
            "NAME": "two words",
            "EMPTY": "",
            "HASH": "a#b",
            "SINGLE": "as it is: $HOME \\n # no comment",
            "DOUBLE": 'tab\tquote" dollar$ back\\ \\d',
            "URL": "https://example.com/?a=b&c=d",
            "MANY": "first\nsecond",
            "KEY": "-----BEGIN KEY-----\nabc=\n-----END KEY-----",
        }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A=1\nB", "line 2: expected NAME=VALUE"),
        ("1A=1", "line 1: expected NAME=VALUE"),
        ("A B=1", "line 1: expected NAME=VALUE"),
        ("A='x", "line 1: unclosed quotation mark"),
        ('A=1\nB="x\ny\nz', "line 2: unclosed quotation mark"),
        ("A='x' y", "line 1: unclosed quotation mark"),
        ("A=x\0y", "line 1: a value has no zero bytes"),
        ("GPURENT_HOME=/", "line 1: names that begin with GPURENT_ are gpurent's own"),
    ],
)
def test_a_mistake_names_its_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="line") as caught:
        parse_variable_file(text)
    assert str(caught.value) == why


def test_typed_variables() -> None:
    assert parse_variable("A=b=c") == "A=b=c"
    assert split_variables(["A=b=c", "B=", "A=2"]) == {"A": "2", "B": ""}
    assert merge_variables(["A=1", "B=2"], ["B=3", "C=4"]) == ("A=1", "B=3", "C=4")
    for wrong in ("A", "=1", "1=2", "a-b=c", "A=\0", "GPURENT_X=1"):
        with pytest.raises(ValueError, match=r"expected NAME=VALUE|gpurent's own"):
            parse_variable(wrong)


def test_names_of_secrets() -> None:
    for name in ("TOKEN", "HF_TOKEN=HF_LAB"):
        assert parse_secret_name(name) == name
    assert split_secret_names(["TOKEN", "HF_TOKEN=HF_LAB"]) == {"TOKEN": "TOKEN", "HF_TOKEN": "HF_LAB"}
    for wrong in ("", "a b", "A=", "=A", "A=B=C", "GPURENT_X", "GPURENT_X=A"):
        with pytest.raises(ValueError, match=r"expected the name|gpurent's own"):
            parse_secret_name(wrong)
