"""Whether what a plugin requires fits what is installed, gpurent itself above all."""

from __future__ import annotations

from collections.abc import Sequence

from gpurent import __version__
from gpurent.locale import _
from gpurent.testing.plugin_check.report import RuleFinding, judge, skip

CORE = "gpurent"


def check_requirements(requires: Sequence[str]) -> RuleFinding:
    """Check the ``Requires-Dist`` lines without extras."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return skip("requirements", _("this needs: pip install 'gpurent[testing]'"))
    faults, has_core = [], False
    for text in requires:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        installed = __version__ if wanted.name == CORE else _find_version(wanted.name)
        has_core = has_core or wanted.name == CORE
        if not installed:
            faults.append(_("{requirement} is not installed").format(requirement=text))
        elif not wanted.specifier.contains(installed, prereleases=True):
            faults.append(
                _("it requires {requirement}, but {version} is here").format(
                    requirement=text, version=installed
                )
            )
    if not has_core:
        faults.append(_("its distribution does not require gpurent"))
    return judge("requirements", faults)


def _find_version(name: str) -> str:
    from importlib_metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
