"""The sandbox's clocks: the providers', and that of the user's computer. Other processes read them from two files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve

from gpurent.infra.clock import ClockScale, ScaledClock
from gpurent.infra.platform.system import write_private_file


class SandboxClock(ScaledClock):
    """The providers' clock, in the process that may set it. ``client_error``: how far the client's clock is ahead."""

    def __init__(self, path: Path, speed: int) -> None:
        super().__init__(path)
        self._speed = speed
        self.client_path = path.with_name(f"client-{path.name}")
        self.client_error = timedelta()

    def start(self) -> None:
        now = datetime.now(UTC)
        self._write(ClockScale(wall_start=now, provider_start=now, speed=self._speed))

    def advance(self, span: timedelta) -> None:
        """Jump ahead by ``span``; never back. The client's clock jumps too."""
        if span < timedelta():
            raise ValueError("time does not go back")
        scale = self.read_scale()
        self._write(evolve(scale, provider_start=scale.provider_start + span))

    def set_client_error(self, span: timedelta) -> None:
        """Make the client's clock differ by ``span``: ahead of the providers', or behind if it is negative."""
        self.client_error = span
        self._write(self.read_scale())

    def _write(self, scale: ClockScale) -> None:
        client = evolve(scale, provider_start=scale.provider_start + self.client_error)
        write_private_file(self.client_path, client.to_json())
        write_private_file(self.path, scale.to_json())
