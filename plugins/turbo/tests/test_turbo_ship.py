"""What travels as source: smaller than what lies here, and the same to Python."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from gpurent_plugin_turbo.far.receiver import BEHIND, Receiver
from gpurent_plugin_turbo.far.workers import Crew
from gpurent_plugin_turbo.near.connection import bootstrap
from gpurent_plugin_turbo.shared import wire
from gpurent_plugin_turbo.shared.wire import Line

PACKAGE = Path(bootstrap.__file__).parents[2]


class Bare(ast.NodeTransformer):
    """A module as it ought to travel: without docstrings and imports of our own."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
            if isinstance(node, ast.Module):
                node.body = [each for each in node.body if not _ours(each)]
        return node


def _ours(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and str(node.module).startswith("gpurent_plugin_turbo")


def _tree(text: str) -> str:
    return ast.dump(Bare().visit(ast.parse(text)))


def test_nothing_but_remarks_stays_at_home() -> None:
    for name in {*bootstrap.PUSH, *bootstrap.PULL, *bootstrap.PRUNE}:
        whole = (PACKAGE / f"{name}.py").read_text("utf-8")
        carried = bootstrap.source(name)
        assert _tree(carried) == _tree(whole)
        assert '"""' not in carried
        assert not any(line.startswith("from gpurent") for line in carried.splitlines())


def test_the_command_fits_the_first_flight_of_a_connection() -> None:
    assert len(bootstrap.push_command("work")) < 12_000


def test_a_line_tells_what_waits() -> None:
    source, sink = os.pipe()
    try:
        line = Line(source, -1)
        assert line.waiting() == 0
        os.write(sink, b"x" * 1000)
        assert line.waiting() == 1000
        line.take(600)
        assert line.waiting() == 400
    finally:
        os.close(source)
        os.close(sink)
    with Path(os.devnull).open("rb") as nothing:
        assert Line(nothing.fileno(), -1).waiting() == wire.LARGEST


def test_hands_are_hired_only_when_packs_wait() -> None:
    """A pack that comes late is unpacked by the process that took it."""
    hired: list[int] = []

    class Few(Crew):
        def take(self, kind: int, head: bytes, body: memoryview) -> bool:
            hired.append(len(body))
            return True

    unpacked: list[int] = []

    class Quiet(Receiver):
        def unpack(self, head: bytes, body: memoryview) -> None:
            unpacked.append(len(body))

    source, sink = os.pipe()
    wire.widen(sink)
    try:
        receiver = Quiet(Line(source, -1), False)
        receiver.crew = Few(receiver.help)
        os.write(sink, b"x" * 1000)
        receiver.pack(b"", 1000)
        assert (unpacked, hired) == ([1000], [])
        os.write(sink, b"x" * BEHIND)
        receiver.pack(b"", BEHIND)
        assert (unpacked, hired) == ([1000], [BEHIND])
    finally:
        os.close(source)
        os.close(sink)
