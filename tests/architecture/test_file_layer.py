"""Files of projects, results and transfers are opened by one layer, below open folders: no other code goes by paths."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE, PLUGINS = ROOT / "core" / "gpurent", ROOT / "plugins"
# What transfers: everything here is bound to the layer, but for what is named below.
TRANSFER_CODE = [
    *(CORE / "roles").glob("*.py"),
    *(CORE / "workflow" / "connection").glob("*.py"),
    CORE / "workflow" / "steps" / "upload.py",
    CORE / "workflow" / "steps" / "download.py",
    *(PLUGINS / "sftp" / "src").rglob("*.py"),
    *(PLUGINS / "turbo" / "src").rglob("*.py"),
]
# `turbo/far` runs on the machine.
NOT_HERE = PLUGINS / "turbo" / "src" / "gpurent_plugin_turbo" / "far"
# Functions that take a path, and open, change or list what is there. A handle in place of the path is no argument for
# them: those of `OpenFolder` do the same.
BY_PATH = {
    "open", "os.open", "os.rename", "os.replace", "os.renames", "os.link", "os.symlink", "os.unlink", "os.remove",
    "os.rmdir", "os.removedirs", "os.mkdir", "os.makedirs", "os.mkfifo", "os.chmod", "os.chown", "os.utime",
    "os.truncate", "os.readlink", "os.listdir", "os.scandir", "os.walk", "os.stat", "os.lstat",
}  # fmt: skip
WHOLE_MODULES = ("shutil", "tempfile", "glob", "fileinput")
PATH_METHODS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "rename", "replace", "unlink", "rmdir", "mkdir",
    "touch", "symlink_to", "hardlink_to", "chmod", "readlink", "iterdir", "glob", "rglob", "walk", "lstat",
}  # fmt: skip
# Of a name in this list a method is not one of a path.
NO_PATHS = {"tarfile", "text", "message", "error", "sftp", "_sftp", "fill_template"}
# Where something else than files of the user is meant, or only looked at before money is spent: (file, use).
ALLOWED = {
    (
        "workflow/connection/local_folder.py",
        "lstat",
    ),  # what is in the way of results, asked once more at the download
    ("workflow/connection/local_folder.py", "shutil"),
    # gpurent's own: its source, sent to the machine; a note beside the lease's key
    ("near/connection/bootstrap.py", "open"),
    ("near/push/scan.py", "os.open"),
    # on the machine: shared by both sides, and only called there
    ("shared/files.py", "open"),
    ("shared/files.py", "os.mkdir"),
}


def iter_uses(text: str) -> Iterator[str]:
    """Yield what ``text`` uses that goes by paths."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
            )
            yield from (name for name in names if name.partition(".")[0] in WHOLE_MODULES)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in BY_PATH:
            yield called
        elif isinstance(node.func, ast.Attribute) and node.func.attr in PATH_METHODS:
            owner, method = ast.unparse(node.func.value), node.func.attr
            is_text = method == "replace" and len(node.args) == 2
            if not is_text and owner.rpartition(".")[2] not in NO_PATHS:
                yield method


def find_places(path: Path) -> set[tuple[str, str]]:
    name = str(path.relative_to(CORE)) if path.is_relative_to(CORE) else "/".join(path.parts[-3:])
    parts = name.split("/")
    shown = (
        name
        if path.is_relative_to(CORE)
        else "/".join(parts[parts.index("src") + 1 :] if "src" in parts else parts)
    )
    return {(shown.removeprefix("gpurent_plugin_turbo/"), use) for use in iter_uses(path.read_text("utf-8"))}


def test_no_transfer_goes_by_paths() -> None:
    files = [path for path in TRANSFER_CODE if not path.is_relative_to(NOT_HERE)]
    assert len(files) > 50
    found = {place for path in files for place in find_places(path)}
    assert found == ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "open(path)", "os.open(path, flags)", "path.read_text()", "path.open()", "os.replace(a, b)", "a.replace(b)",
        "folder.mkdir()", "import shutil", "from tempfile import TemporaryFile", "os.scandir(path)", "x.y.unlink()",
    ],
)  # fmt: skip
def test_a_way_around_is_found(text: str) -> None:
    assert list(iter_uses(text))


@pytest.mark.parametrize(
    "text",
    ["tarfile.open(fileobj=raw)", 'name.replace("a", "b")', "folder.open_file(base)", "os.fstat(handle)"],
)
def test_harmless_calls_are_left_alone(text: str) -> None:
    assert not list(iter_uses(text))


def test_the_layer_itself_is_in_one_place() -> None:
    """What looks a name up in an open folder."""
    users = {
        str(path.relative_to(CORE))
        for path in CORE.rglob("*.py")
        if "dir_fd=" in path.read_text("utf-8") and "testing" not in path.parts
    }
    assert users == {"infra/platform/posix/local_files.py"}
