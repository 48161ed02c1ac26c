"""Builds the tools of a trip before money is spent: transfer, session, launcher."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.trip import TripSpec
from gpurent.roles.entries import LauncherEntry, SessionEntry, TransferEntry
from gpurent.workflow.connection.transfers import AUTO
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.plugins import Plugins


@frozen
class ToolSelector:
    plugins: Plugins

    async def select_tools(self, trip: TripContext, spec: TripSpec) -> TripSpec:
        """Return ``spec`` with a session backend that works, chosen once per trip: only that one finds the job again.

        Raises `PluginError` if a tool that the trip needs cannot be built.
        """
        selected = self.check_tools(spec)
        if selected != spec:
            await trip.store.set_trip_spec(trip.id, selected)
        return selected

    def check_tools(self, spec: TripSpec) -> TripSpec:
        """Select tools as `select_tools` does, without recording anything."""
        if spec.rent_only:
            return spec
        name = spec.upload.transfer
        list(self.plugins.iter_usable(TransferEntry, "" if name == AUTO else name))
        if not spec.job.command:
            return spec
        self.plugins.build(self.plugins.select_entry(LauncherEntry, spec.job.launcher))
        first = self.plugins.select_entry(SessionEntry, spec.job.session)
        usable, _backend = next(self.plugins.iter_usable(SessionEntry, spec.job.session))
        if usable is first:
            return spec
        return evolve(spec, job=evolve(spec.job, session=usable.name))
