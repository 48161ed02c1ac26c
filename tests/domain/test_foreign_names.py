"""Names that services give: what commands and requests can repeat, and nothing else."""

from __future__ import annotations

import pytest

from gpurent.domain.foreign_names import MAX_NAME_LENGTH, parse_foreign_name


@pytest.mark.parametrize("name", ["7", "028", "m-7", "o_1.2:3", "机器7", "x" * MAX_NAME_LENGTH])
def test_a_name_is_returned_unchanged(name: str) -> None:
    assert parse_foreign_name(name) == name


REFUSED: tuple[object, ...] = (
    *(
        "",
        " ",
        "a b",
        "a\n",
        "\x1b[2J",
        "a\u202eb",
        "a\u200b",
        "a\u3000b",
        "\ud800",
        "-oProxyCommand=id",
        "-1",
    ),
    *("..", "../x", "a/b", "a\\b", "a?b", "a#b", "x" * (MAX_NAME_LENGTH + 1)),
    *(None, 7, True, b"a", ["a"]),
)


@pytest.mark.parametrize("value", REFUSED)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it has no message
        parse_foreign_name(value)
