"""Project files beside the user's own settings: what is trusted, and what becomes of their limits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gpurent.composition.system import data_folder
from gpurent.domain.trip_fields import FIELDS_BY_NAME
from gpurent.infra.config.trusted_projects import TrustedProjects

if TYPE_CHECKING:
    from gpurent.domain.trip import TripSpec
    from gpurent.infra.registry.registry import EntryPointRegistry
    from gpurent.workflow.trips.project_limits import ComparedLimit


def trusted_projects() -> TrustedProjects:
    """Return the projects that the user of this data folder trusts."""
    return TrustedProjects(data_folder())


def compare_project_limits(registry: EntryPointRegistry, spec: TripSpec) -> Sequence[ComparedLimit]:
    """Return the limits of the project file of ``spec`` beside the settings; raises `UsageError` if those are wrong."""
    if not any(
        field.tighter is not None and spec.is_from_project(name) for name, field in FIELDS_BY_NAME.items()
    ):
        return ()
    from gpurent.composition.state import read_settings
    from gpurent.workflow.runtime.settings import Settings
    from gpurent.workflow.trips.project_limits import ProjectLimits

    home = data_folder()
    settings = Settings(home, os.environ, read_settings(registry, home))
    return ProjectLimits(settings, datetime.now(UTC)).compare_limits(spec)
