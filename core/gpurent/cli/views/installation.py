"""Which gpurent this is: versions, the system, the folder of its state, the plugins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gpurent import __version__
from gpurent.composition.system import data_folder

if TYPE_CHECKING:
    from gpurent.composition.system import EntryPointRegistry


def describe_installation(registry: EntryPointRegistry) -> dict[str, Any]:
    from platform import machine, release, system

    return {
        "gpurent": __version__,
        "python": sys.version.split()[0],
        "system": f"{system()} {release()} {machine()}",
        "folder": str(data_folder()),
        "plugins": [
            {"distribution": plugin.distribution, "version": plugin.version}
            for plugin in sorted(registry.plugins, key=lambda plugin: plugin.distribution)
            if not plugin.is_core
        ],
        "problems": [
            {"plugin": problem.plugin, "distribution": problem.distribution, "error": problem.what}
            for problem in registry.problems
        ],
    }
