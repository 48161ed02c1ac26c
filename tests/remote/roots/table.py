"""All roots of what failed on machines as they are."""

from __future__ import annotations

from collections.abc import Sequence

from tests.remote.roots.file_roots import FILE_ROOTS
from tests.remote.roots.shell_roots import SHELL_ROOTS
from tests.remote.roots.terminal_roots import TERMINAL_ROOTS
from tests.roots.root import TestedRoot

MACHINE_ROOTS: Sequence[TestedRoot] = (*SHELL_ROOTS, *FILE_ROOTS, *TERMINAL_ROOTS)
