"""Step: connect to the machine for the first time, which pins its host key."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from gpurent.workflow.connection.reconnecting import Connections, ReconnectingConnection
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.start_deadline import find_start_deadline


@frozen
class ConnectStep:
    connections: Connections

    async def open_connection(
        self, trip: TripContext, leg: str, lease_id: str, ready_within: timedelta | None = None
    ) -> ReconnectingConnection:
        """Return a working connection; the caller closes it.

        Raises `StartFailed` if a new machine does not answer ``ready_within`` that time, from its order on.
        """
        connection = self.connections.make_connection(lease_id, trip.id)
        connection.start_deadline = await find_start_deadline(trip, leg, ready_within)

        async def probe_machine() -> str:
            # The trip's record then shows which machine and which home folder it reached.
            return (await connection.run_with_retry(lambda ssh: ssh.run("uname -sn && pwd"))).stdout.strip()[
                :200
            ]

        try:
            await trip.step(f"{leg}.connect", str, probe_machine)
        except BaseException:
            await connection.close()
            raise
        connection.start_deadline = None
        return connection
