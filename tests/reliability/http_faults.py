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
HIDDEN_DURING_JOB = timedelta(seconds=100)
EFFECTS = ("response lost", "500 after the effect", "maintenance page after the effect", "sent twice")
"""Faults that matter most for calls that change something: half of them fall on one of the first POST requests."""
MAX_POST = 3
MAX_CALL = 60
LONG_JOB_SECONDS = 2.5
"""At the sandbox's speed, several minutes: a trip looks at its machine once a minute."""


async def add_random_faults(user: UserSandbox, rng: random.Random) -> None:
    """Put one or two faults in force, each from a random call of a random service on, for some calls."""
    services = [user.provider.name, user.provider.name, user.provider.funding, MAIL_SERVICE]
    for _number in range(rng.choice((1, 1, 2))):
        service = rng.choice(services)
        faults = MAIL_FAULTS if service == MAIL_SERVICE else FAULTS
        name = rng.choice(sorted(faults))
        nth = int(MAX_CALL ** rng.random())
        times = rng.choice((1, 1, 2, 5))
        options = dict(faults[name])
        if name in EFFECTS and nth % 2:
            options["method"], nth = "POST", 1 + nth // 2 % MAX_POST
        user.notes.append(f"# {service}: {name}, {options.get('method', '')} call {nth}, {times} times")
        await user.sandbox.cloud.faults.add(ServiceFault(service=service, nth=nth, times=times, **options))


async def add_faults_during_job(user: UserSandbox, rng: random.Random) -> None:
    """Once a job runs, let a few calls of its provider go wrong, or its list lack the machine."""
    name, times = rng.choice(sorted(FAULTS)), rng.choice((1, 2, 4))
    simulator = user.sandbox.cloud.simulators_by_name[user.provider.name]
    is_hidden = rng.random() < 0.25
    while not user.count_marks(1, "started"):  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(POLL_SECONDS)
    if is_hidden and isinstance(simulator, SupportsHiding):
        user.notes.append(f"# {user.provider.name}: lists no machine while the job runs")
        simulator.hide_machines(user.sandbox.cloud.clock.now() + HIDDEN_DURING_JOB)
        return
    user.notes.append(f"# {user.provider.name}: {name} while the job runs, {times} times")
    fault = ServiceFault(service=user.provider.name, nth=1, times=times, **FAULTS[name])
    await user.sandbox.cloud.faults.add(fault)


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
