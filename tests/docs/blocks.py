"""The blocks of the pages in docs/: what a reader copies, and how a test runs it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from tests.packaging.new_plugin import make_environment, run_shell

DOCS = Path(__file__).parents[2] / "docs"
# What a reader types or keeps. Blocks of other languages show something.
RUN_LANGUAGES = ("python", "shell", "sh", "console", "bash")
_BLOCK = re.compile(r"^```(?P<language>[\w-]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: (\S.{8,}) -->\Z")
_FILE = re.compile(r"`(?P<path>[\w./-]+)`:\Z")


@frozen
class Block:
    """``reason``: why it is not run, empty if it is. ``path``: the file that it is, empty if it is typed."""

    page: str
    line: int
    language: str
    text: str
    reason: str
    path: str

    def to_script(self) -> str:
        """Return the shell commands that do what the reader does with it."""
        if not self.path:
            return self.text
        folder = shlex.quote(str(Path(self.path).parent))
        return f"mkdir -p {folder}\ncat >{shlex.quote(self.path)} <<'END_OF_BLOCK'\n{self.text}END_OF_BLOCK\n"


def list_pages() -> list[str]:
    pages = (path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
    return sorted(page for page in pages if not page.startswith("reference/"))


def list_blocks(page: str) -> Iterator[Block]:
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for found in _BLOCK.finditer(text):
        before = text[: found.start()].rstrip()
        reason, path = _REASON.search(before), _FILE.search(before)
        yield Block(
            page=page,
            line=text[: found.start()].count("\n") + 1,
            language=found["language"],
            text=found["text"],
            reason=reason[1] if reason else "",
            path=path["path"] if path else "",
        )


def make_script(page: str, instead: Mapping[str, str]) -> str:
    """Return a page as one script: its files are written and its commands run, in the order of the page.

    ``instead``: what a person does where a block cannot be run, by the block's text.
    """
    parts = ["set -eu"]
    for block in list_blocks(page):
        if block.reason:
            parts.append(instead.get(block.text.strip(), ""))
        elif block.path or block.language in RUN_LANGUAGES:
            parts.append(f"echo '== line {block.line}'\n{block.to_script()}")
    return "\n".join(parts)


def run_page(page: str, folder: Path, instead: Mapping[str, str] | None = None) -> str:
    """Run a page in an environment of its own, where gpurent and its plugins are installed; return what it prints."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    shutil.copytree(DOCS.parent / "examples" / "digits", work / "examples" / "digits")
    return run_shell(make_script(page, instead or {}), make_environment(folder / "venv"), work, home)
