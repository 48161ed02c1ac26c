"""A process of its own that loads a plugin's entries as the command line does: how long it takes, what it pulls in.

Run as ``python -m gpurent.testing.plugin_check.import_probe MODULE``; prints one JSON object.
"""

from __future__ import annotations

import json
import pkgutil
import sys
import time
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

HEAVY_MODULES = {
    *(
        "aiohttp",
        "asyncio",
        "asyncssh",
        "cryptography",
        "httpx",
        "httpx2",
        "lxml",
        "numpy",
        "pandas",
        "pydantic",
    ),
    *("requests", "rich", "sqlite3", "ssl", "starlette", "torch", "urllib.request", "uvicorn"),
}


def probe_module(name: str) -> dict[str, Any]:
    """Return ``seconds`` of CPU time, ``heavy`` modules, ``warnings`` about former names, and an ``error``."""
    from gpurent.infra.registry.registry import HOOK_PREFIX  # what core has loaded before any plugin

    before = set(sys.modules)
    result: dict[str, Any] = {"seconds": 0.0, "heavy": [], "warnings": [], "error": ""}
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(sys.stderr):
        warnings.simplefilter("always")
        try:
            started = time.process_time()
            module = import_module(name)
            for hook in dir(module):
                if hook.startswith(HOOK_PREFIX):
                    getattr(module, hook)()
            result["seconds"] = time.process_time() - started
            result["heavy"] = sorted((set(sys.modules) - before) & HEAVY_MODULES)
            _import_all(name.partition(".")[0])
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
            result["error"] = f"{type(error).__name__}: {error}"
    result["warnings"] = [
        f"{each.filename}:{each.lineno}: {each.message}"
        for each in caught
        if issubclass(each.category, DeprecationWarning) and f"{each.message}".startswith("gpurent.api.")
    ]
    return result


def _import_all(package: str) -> None:
    """Import every module of the package, so that each former name is met; what lacks an extra is left out."""
    root = sys.modules.get(package)
    for found in pkgutil.walk_packages(
        getattr(root, "__path__", ()), f"{package}.", onerror=lambda _name: None
    ):
        if found.name.endswith(".__main__"):
            continue
        try:
            import_module(found.name)
        except Exception:  # noqa: BLE001, S112 - the entries that need it say so when they are built
            continue


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe_module(sys.argv[1])))
