"""What a push over ssh imports before it connects."""

from __future__ import annotations

import subprocess
import sys


def test_push_imports_nothing_heavy() -> None:
    code = "import sys, gpurent_plugin_turbo.near.push.pusher; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"asyncio", "attr", "enum", "gpurent.errors", "typing"} & set(done.stdout.split())
