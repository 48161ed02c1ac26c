"""What the pages tell a reader to type or to keep works, or the page says why it is not run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import DOCS, RUN_LANGUAGES, list_blocks, list_pages, run_page

PAY = (
    "page=$(gpurent topup mistgpu 20 --no-wait --json | python3 -c"
    """ 'import json, sys; print(json.load(sys.stdin)["data"]["url"])')\n"""
    """python3 -c "import urllib.request; urllib.request.urlopen('$page/settle', b'')"\n"""
)
# Pages that run as a whole, and some of what they print.
WHOLE_PAGES: Mapping[str, tuple[str, ...]] = {
    "authors/first-plugin": ("notifier notes", "accepted"),
    "authors/session-backend": (" passed",),
    "authors/rest-provider": (" passed",),
    "authors/provider": (" passed", "Level: ", "gpurent_plugin_acme/py.typed"),
    "authors/provider-failures": (" passed", "RTX 4090"),
    "authors/money": ("2 passed",),
    "authors/simulator": ("1 passed",),
    "client": ("42", "is released", "[0, 0]"),
    "getting-started": ("metrics.json", "The ledger matches the providers' statements."),
}
BY_DAY = "authors/first-plugin"
INSTEAD: Mapping[str, Mapping[str, str]] = {"getting-started": {"gpurent topup mistgpu 20": PAY}}
# Pages whose blocks other tests run.
OTHER_TESTS: Mapping[str, str] = {
    "contracts": "tests/testing/test_documentation.py",
    "hooks": "tests/architecture/test_hooks.py",
    "sandbox": "tests/sandbox/test_lever_commands.py",
    "testing": "tests/testing/test_documentation.py",
}
# Its blocks are lines of the sources; scripts/mutation_score.py reads them.
QUOTES = ("mutation",)


def make_param(page: str) -> Any:
    """The id changes with the page: `make test-nightly` leaves out what has passed, whatever became of docs/."""
    digest = sha256((DOCS / f"{page}.md").read_bytes()).hexdigest()
    return pytest.param(page, id=f"{page}-{digest[:8]}", marks=[pytest.mark.nightly] * (page != BY_DAY))


@pytest.mark.parametrize("page", [make_param(page) for page in WHOLE_PAGES])
def test_a_page_works_as_it_stands(page: str, tmp_path: Path) -> None:
    printed = run_page(page, tmp_path, INSTEAD.get(page))
    for text in WHOLE_PAGES[page]:
        assert text in printed, printed[-6000:]


@pytest.mark.parametrize("page", [page for page in list_pages() if page not in QUOTES])
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    for block in list_blocks(page):
        where = f"docs/{page}.md:{block.line}"
        if block.language not in RUN_LANGUAGES or block.reason:
            continue
        assert page in WHOLE_PAGES or page in OTHER_TESTS, (
            f"{where} is not run; see tests/docs/test_blocks.py"
        )
        if page in WHOLE_PAGES and block.language == "python":
            assert block.path, f"{where} is in no file: end the line before it with the file's name"


def test_the_tables_name_pages_and_tests_that_exist() -> None:
    assert {*WHOLE_PAGES, *OTHER_TESTS, *QUOTES} <= set(list_pages())
    for page, test in OTHER_TESTS.items():
        text = (DOCS.parent / test).read_text("utf-8")
        assert f"{page}.md" in text
    for page, blocks in INSTEAD.items():
        assert set(blocks) <= {block.text.strip() for block in list_blocks(page) if block.reason}


def test_the_session_backend_has_25_lines() -> None:
    source = next(block.text for block in list_blocks("authors/session-backend") if block.path)
    assert len([line for line in source.splitlines() if line.strip()]) == 25
    plugin = next(block.text for block in list_blocks("authors/first-plugin") if block.path)
    assert len(re.findall(r"\S.*\n", plugin)) <= 10


def test_the_rest_provider_has_70_lines() -> None:
    source = next(block.text for block in list_blocks("authors/rest-provider") if block.path)
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith("from ")]
    assert len(lines) == 70
