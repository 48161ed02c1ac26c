from __future__ import annotations

from collections import Counter
from itertools import groupby

from attrs import frozen

from tests.spread import spread


@frozen
class Named:
    nodeid: str


def make_items(**counts: int) -> list[Named]:
    return [
        Named(f"{file.replace('__', '/')}.py::test_{number}")
        for file, count in counts.items()
        for number in range(count)
    ]


def test_each_process_begins_with_long_tests_and_nothing_is_lost() -> None:
    given = make_items(
        plugins__acme=50,
        tests__domain__test_money=30,
        tests__reliability__test_a=4,
        tests__reliability__test_families=2,
        tests__workflow__test_b=7,
        tests__workflow__test_c=3,
    )
    found = spread(given, 4)
    assert Counter(found) == Counter(given)
    assert found[0].nodeid == "tests/reliability/test_families.py::test_0"
    files = [file for file, _items in groupby(item.nodeid.partition("::")[0] for item in found)]
    assert len(files) == len(set(files)), "files stay whole"
    assert files.index("tests/domain/test_money.py") > files.index("tests/workflow/test_b.py")
    assert files[-1] in ("plugins/acme.py", "tests/domain/test_money.py"), "the last run ends with short ones"
    assert spread(given, 1)[0].nodeid.startswith("tests/reliability/test_families.py")
