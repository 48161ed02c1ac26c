"""The pace that a plugin declares: kept for each route, across clients and processes, and after a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field

from gpurent.errors import StorageError, UnavailableError
from gpurent.infra.http import ReadHttpResponse
from gpurent.infra.paced_http import MAX_WAIT, PacedHttp, Pacer
from gpurent.roles.entries import RoutePace
from gpurent.testing.fakes import ManualClock, MemoryState

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LIST = RoutePace(method="GET", path="/machines/", interval=2 * SECOND)
CREATE = RoutePace(method="PUT", path="/asks/{}/", interval=4 * SECOND, penalty=12 * SECOND)


@define
class Service:
    """Records when it is called, and answers with each of ``statuses``, then 200."""

    clock: ManualClock
    statuses: list[int] = field(factory=list)
    headers: Mapping[str, str] = field(factory=dict)
    calls: list[tuple[str, timedelta]] = field(factory=list)

    async def request(self, method: str, path: str, **_fields: Any) -> ReadHttpResponse:
        self.calls.append((f"{method} {path}", self.clock.now() - NOW))
        status = self.statuses.pop(0) if self.statuses else 200
        return ReadHttpResponse(status=status, url=path, text="{}", headers=self.headers, cookies={})

    @property
    def times(self) -> list[float]:
        return [at.total_seconds() for _name, at in self.calls]


def make_http(service: Service, state: MemoryState | None = None) -> PacedHttp:
    pacer = Pacer((LIST, CREATE), service.clock, state or MemoryState())
    return PacedHttp(service, pacer)


@pytest.fixture
def service() -> Service:
    return Service(ManualClock(NOW, eager=True))


async def test_a_route_is_called_no_sooner_than_its_interval_and_others_do_not_wait(service: Service) -> None:
    http = make_http(service)
    await http.request("GET", "/machines/")
    await http.request("PUT", "/asks/1/")
    await http.request("POST", "/machines/")
    await http.request("GET", "/machines/7/")
    assert service.times == [0, 0, 0, 0]
    await http.request("GET", "/machines/")
    await http.request("PUT", "/asks/2/")
    assert service.times[-2:] == [2, 4], "one route, whatever the id"


async def test_concurrent_calls_queue(service: Service) -> None:
    service.clock = clock = ManualClock(NOW)
    http = make_http(service)
    calls = asyncio.gather(*(http.request("GET", "/machines/") for _number in range(4)))
    while not calls.done():
        await asyncio.sleep(0)
        if clock.next_wakeup is not None:
            clock.advance(clock.next_wakeup - clock.now())
    assert service.times == [0, 2, 4, 6]


async def test_another_process_knows_when_the_route_is_free(service: Service) -> None:
    state = MemoryState()
    await make_http(service, state).request("PUT", "/asks/1/")
    await make_http(service, state).request("PUT", "/asks/1/")
    assert service.times == [0, 4]


async def test_a_refusal_without_a_header_tells_the_declared_pause(service: Service) -> None:
    service.statuses = [429]
    http = make_http(service)
    answer = await http.request("PUT", "/asks/1/")
    assert len(service.calls) == 1, "what may create is never sent again"
    with pytest.raises(UnavailableError) as caught:
        answer.raise_if_unavailable("acme")
    assert caught.value.retry_after == 12 * SECOND
    await http.request("PUT", "/asks/1/")
    assert service.times == [0, 12]


async def test_the_services_own_word_counts_more(service: Service) -> None:
    service.statuses, service.headers = [429], {"retry-after": "30"}
    http = make_http(service)
    with pytest.raises(UnavailableError) as caught:
        (await http.request("PUT", "/asks/1/")).raise_if_unavailable("acme")
    assert caught.value.retry_after == 30 * SECOND
    await http.request("PUT", "/asks/1/")
    assert service.times == [0, 30]


async def test_reading_is_tried_once_more(service: Service) -> None:
    service.statuses = [429]
    assert (await make_http(service).request("GET", "/machines/")).status == 200
    assert service.times == [0, 2]
    service.statuses = [429, 429]
    assert (await make_http(service).request("GET", "/machines/")).status == 429
    assert len(service.calls) == 4


async def test_a_time_by_another_clock_is_not_waited_for(service: Service) -> None:
    state = MemoryState()
    await state.put("pace GET /machines/", (NOW + MAX_WAIT + SECOND).isoformat())
    await state.put("pace PUT /asks/{}/", "nonsense")
    http = make_http(service, state)
    await http.request("GET", "/machines/")
    await http.request("PUT", "/asks/1/")
    assert service.times == [0, 0]


class FullDisk(MemoryState):
    async def put(self, name: str, value: str) -> None:
        raise StorageError("no space left on device")


async def test_without_room_for_a_note_the_pace_is_kept_in_this_process(service: Service) -> None:
    http = make_http(service, FullDisk())
    await http.request("GET", "/machines/")
    await http.request("GET", "/machines/")
    assert service.times == [0, 2]


async def test_all_routes_together_have_a_pace_beside_that_of_one(service: Service) -> None:
    whole = RoutePace(method="*", path="/", interval=SECOND)
    http = PacedHttp(service, Pacer((whole, CREATE), service.clock, MemoryState()))
    for path in ("/keys/", "/machines/7/"):
        await http.request("GET", path)
    await http.request("PUT", "/asks/1/")
    await http.request("PUT", "/asks/1/")
    await http.request("GET", "/keys/")
    assert service.times == [0, 1, 2, 6, 7]
    service.statuses = [429]
    with pytest.raises(UnavailableError) as caught:
        (await http.request("PUT", "/asks/1/")).raise_if_unavailable("acme")
    assert caught.value.retry_after == 12 * SECOND, "the longer of both"
    await http.request("GET", "/keys/")
    assert service.times[-2:] == [10, 11], "what others read does not wait for it"
