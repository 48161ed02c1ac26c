"""The source sent to the machine: smaller than the files here, and equivalent to Python."""

from __future__ import annotations

import ast
import os
import tracemalloc
from pathlib import Path

import pytest

from gpurent.api import PullRequest, PushRequest
from gpurent_plugin_turbo.far.receiver import PENDING_PACK_BYTES, PushReceiver
from gpurent_plugin_turbo.far.workers import WorkerPool
from gpurent_plugin_turbo.near.connection import bootstrap
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.wire import FrameStream

BUNDLES = (bootstrap.PUSH_MODULES, bootstrap.PULL_MODULES, bootstrap.PRUNE_MODULES)


class SourceStripper(ast.NodeTransformer):
    """Reference for how a module is stripped: no docstrings, own imports or type-checking code."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
            if isinstance(node, ast.Module):
                node.body = [each for each in node.body if not _is_stripped_import(each)]
        return node


def _is_stripped_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return str(node.module).startswith(("gpurent_plugin_turbo", "collections.abc"))
    return False


def _dump_stripped_tree(text: str) -> str:
    return ast.dump(SourceStripper().visit(ast.parse(text)))


@pytest.mark.parametrize("name", sorted({name for bundle in BUNDLES for name in bundle}))
def test_bundle_keeps_everything_that_python_needs(name: str) -> None:
    whole = Path(bootstrap.PACKAGE_DIR, f"{name}.py").read_text("utf-8")
    bundled = bootstrap.bundle_source(name)
    assert _dump_stripped_tree(bundled) == _dump_stripped_tree(whole)
    assert '"""' not in bundled
    assert "gpurent_plugin" not in bundled


@pytest.mark.parametrize("bundle", BUNDLES)
def test_no_two_modules_of_a_bundle_define_the_same_name(bundle: tuple[str, ...]) -> None:
    modules = ast.parse(bootstrap.bundle_source(*bundle)).body
    names = [node.name for node in modules if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    names += [
        name.id
        for node in modules
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]
    assert sorted(names) == sorted(set(names))


def test_command_fits_the_initial_congestion_window() -> None:
    assert len(bootstrap.make_push_command(PushRequest(sources=(), target="work"))) < 12_000


def test_frame_stream_counts_pending_bytes() -> None:
    source, sink = os.pipe()
    try:
        frames = FrameStream(source, -1)
        assert frames.count_pending() == 0
        os.write(sink, b"x" * 1000)
        assert frames.count_pending() == 1000
        frames.read(600)
        assert frames.count_pending() == 400
    finally:
        os.close(source)
        os.close(sink)
    with Path(os.devnull).open("rb") as nothing:
        assert FrameStream(nothing.fileno(), -1).count_pending() == wire.MAX_FRAME


def test_workers_are_started_only_when_packs_wait() -> None:
    """A late pack is written by the process that received it."""
    assigned: list[int] = []

    class RecordingPool(WorkerPool):
        def assign_frame(self, kind: int, header: bytes, body: memoryview) -> bool:
            assigned.append(len(body))
            return True

    written: list[int] = []

    class RecordingReceiver(PushReceiver):
        def write_pack(self, header: bytes, body: memoryview) -> None:
            written.append(len(body))

    source, sink = os.pipe()
    wire.enlarge_pipe(sink)
    try:
        receiver = RecordingReceiver(FrameStream(source, -1), False)
        receiver.pool = RecordingPool(receiver.serve_worker)
        os.write(sink, b"x" * 1000)
        receiver.handle_pack(b"", 1000)
        assert (written, assigned) == ([1000], [])
        os.write(sink, b"x" * PENDING_PACK_BYTES)
        receiver.handle_pack(b"", PENDING_PACK_BYTES)
        assert (written, assigned) == ([1000], [PENDING_PACK_BYTES])
    finally:
        os.close(source)
        os.close(sink)


def test_commands_for_many_folders_are_not_all_kept(tmp_path: Path) -> None:
    """A guard downloads from one trip's folder after another, for months."""
    size, count = 0, 24
    tracemalloc.start()
    try:
        for number in range(count):
            request = PullRequest(sources=(f"trip{number}/out.txt",), target=tmp_path)
            size = len(bootstrap.make_pull_command(request))
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < size * count / 2
