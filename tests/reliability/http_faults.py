"""R2: what goes wrong between gpurent and a service, drawn at random; the services are the sandbox's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gpurent.roles.simulator import SupportsHiding
from gpurent.testing.load_timeouts import POLL_SECONDS
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.reliability.user_sandbox import UserSandbox

MAIL_SERVICE = "mail"
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "request lost": {"lose": True},
    "response lost": {"lose": True, "after": True},
    "500": {"status": 500},
    "500 after the effect": {"status": 500, "after": True},
    "502 page": {"status": 502, "body": "<html><body>Bad Gateway</body></html>"},
    "429": {"status": 429, "headers": (("retry-after", "60"),)},
    "403 of a firewall": {"status": 403, "body": "blocked"},
    "maintenance page": {"body": "<html><body>系统维护中</body></html>"},
    "maintenance page after the effect": {"body": "<html><body>系统维护中</body></html>", "after": True},
    "empty": {"body": ""},
    "another shape": {"body": '{"code": 0}'},
    "sent twice": {"duplicate": True},
    "slow": {"slow": 0.3},
}
MAIL_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "login refused": {"method": "LOGIN", "body": "LOGIN frequency limited"},
    "search refused": {"method": "*SEARCH", "body": "server busy"},
    "command lost": {"lose": True},
    "answer lost": {"lose": True, "after": True},
    "slow": {"slow": 0.3},
}
MAX_CALL = 60


async def add_random_faults(user: UserSandbox, rng: random.Random) -> None:
    """Put one or two faults in force, each from a random call of a random service on, for some calls."""
    services = [user.provider.name, user.provider.name, user.provider.funding, MAIL_SERVICE]
    for _number in range(rng.choice((1, 1, 2))):
        service = rng.choice(services)
        faults = MAIL_FAULTS if service == MAIL_SERVICE else FAULTS
        name = rng.choice(sorted(faults))
        nth = int(MAX_CALL ** rng.random())
        times = rng.choice((1, 1, 2, 5))
        user.notes.append(f"# {service}: {name}, call {nth}, {times} times")
        await user.sandbox.cloud.faults.add(
            ServiceFault(service=service, nth=nth, times=times, **faults[name])
        )


async def hide_new_machines(user: UserSandbox, rng: random.Random) -> None:
    """Once a machine costs money, let its provider list none for a while, where its simulator can."""
    simulator = user.sandbox.cloud.simulators_by_name[user.provider.name]
    if not isinstance(simulator, SupportsHiding):
        return
    while not user.list_burning():  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(POLL_SECONDS)
    await asyncio.sleep(rng.choice((0, 0, 0.5)))
    span = timedelta(seconds=rng.choice((5, 40, 120)))
    user.notes.append(f"# {user.provider.name}: lists no machine for {span}")
    simulator.hide_machines(user.sandbox.cloud.clock.now() + span)


async def clear_faults(user: UserSandbox) -> None:
    """End all faults; calls that they hold go on."""
    await user.sandbox.cloud.faults.clear()
