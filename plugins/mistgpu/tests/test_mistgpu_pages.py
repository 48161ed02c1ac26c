"""Every field of offers and servers, and that a page which changed is refused with what is wrong and where."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gpurent.api import CNY, Endpoint, Hardware, Metered, Offer, UnitPrice
from gpurent_plugin_mistgpu import wire
from plugins.mistgpu.tests.page_checks import check_refused
from plugins.mistgpu.tests.test_mistgpu_wire import LIST, ROW, SERVERS, URL

STARTED, STOPPED = datetime(2020, 3, 1, tzinfo=UTC), datetime(2020, 3, 1, 1, tzinfo=UTC)
SHUT_ROW = """<tr data-started="2020-03-01T00:00:00+00:00" data-stopped="2020-03-01T01:00:00+00:00"
data-kept="2020-03-16T01:00:00+00:00"><td>034</td><td>P100</td><td>-</td><td>-</td><td>已关机 保留</td>
<td><input name="server_id" value="102"></td></tr>"""


def test_every_field_of_an_offer() -> None:
    one, two = wire.parse_offers(LIST, URL)
    assert one == Offer(
        key="000034",
        provider="mistgpu",
        hardware=Hardware(gpu="Titan RTX", gpus=1),
        tariff=Metered(price=UnitPrice(Decimal("3.50"), CNY)),
    )
    assert two == Offer(
        key="000028",
        provider="mistgpu",
        hardware=Hardware(gpu="V100", gpus=2),
        tariff=Metered(price=UnitPrice(Decimal("5.5"), CNY)),
        available=False,
    )


@pytest.mark.parametrize(
    ("title", "gpu", "gpus"),
    [
        ("8×A100", "A100", 8),
        ("100 x V100", "V100", 100),
        ("0 x V100", "0 x V100", 1),
        ("GTX x1", "GTX x1", 1),
    ],
)
def test_how_many_gpus_a_title_names(title: str, gpu: str, gpus: int) -> None:
    offer = wire.parse_offers(LIST.replace("2 x V100", title), URL)[1]
    assert offer.hardware == Hardware(gpu=gpu, gpus=gpus)


@pytest.mark.parametrize("number", ["0", "Ab9", "1" * 12])
def test_numbers_of_machines(number: str) -> None:
    assert wire.parse_offers(LIST.replace("000034", number), URL)[0].key == number


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("000034", "1" * 13, "a machine without a number"),
        ("000034", "a-b", "a machine without a number"),
        (' value="000034"', "", "a machine without a number"),
        ('class="form-check-input" type="radio" value="000034"', "", "a machine without a number"),
        ("Titan RTX", "", "a machine without a price or a name"),
        ('<h5 class="card-title">Titan RTX</h5>', "", "a machine without a price or a name"),
        ("3.50 元/小时", "", "a machine without a price or a name"),
        ("3.50 元/小时", "3.50 元", "a machine without a price or a name"),
        ("3.50 元/小时", "-0.01 元/小时", "a machine without a price or a name"),
        ("card form-check", "card", "no machine found"),
        ("<form", "<!--", "the page is incomplete"),
        ("3.50 元/小时", "<i></i>" * 1_000, "an element is too large"),
    ],
)
def test_a_machine_list_that_changed(old: str, new: str, what: str) -> None:
    check_refused(wire.parse_offers, LIST.replace(old, new), what)


def test_a_machine_may_be_free_of_charge() -> None:
    assert wire.parse_offers(LIST.replace("3.50", "0.00"), URL)[0].tariff.price.value == 0


def test_the_name_of_a_machine_is_no_part_of_its_price() -> None:
    card = "<h5 class='card-title'>4 元/小时 P100</h5>"
    page = LIST.replace('<h5 class="card-title">Titan RTX</h5>', card)
    assert wire.parse_offers(page, URL)[0].tariff.price.value == Decimal("3.50")


def test_a_card_may_be_its_own_smallest_element() -> None:
    page = LIST.replace("<p>3.50 元/小时</p>", "3.50 元/小时")
    assert wire.parse_offers(page, URL)[0].tariff.price.value == Decimal("3.50")
    check_refused(
        wire.parse_offers,
        f"7.00 {LIST}".replace("<p>3.50 元/小时</p>", "元/小时"),
        "a machine without a price or a name",
    )


def test_a_price_stands_inside_its_card_and_beside_the_title() -> None:
    card = '<div class="card form-check"><input class="form-check-input" value="7"><h5 class="card-title">P100</h5>'
    (offer,) = wire.parse_offers(f"<form>{card}<b>3.50</b><small>元/小时</small></div></form>", URL)
    assert offer.tariff.price.value == Decimal("3.50")
    for inside in ("元/小时", "<p>元/小时</p>"):
        page = f"<form>9.00 {card}{inside}</div></form>"
        check_refused(wire.parse_offers, page, "a machine without a price or a name")


def test_what_only_looks_like_the_element_is_not_taken_for_it() -> None:
    label = '<label class="form-check-input">choose</label>'
    offers = wire.parse_offers(LIST.replace('<input class="form', f'{label}<input class="form'), URL)
    assert [offer.key for offer in offers] == ["000034", "000028"]
    page = SERVERS.replace("<table", '<p id="servers"></p><table').replace(
        "<form>", '<b name="server_id"></b><form>'
    )
    (server,) = wire.parse_servers(page, URL)
    assert server.id == "101"


def test_an_element_of_as_many_parts_as_allowed_is_read() -> None:
    """A card has a radio button, a title and a paragraph too."""
    page = LIST.replace("3.50 元/小时", "3.50 元/小时" + "<i></i>" * (wire.MAX_ELEMENTS - 3))
    assert len(wire.parse_offers(page, URL)) == 2
    check_refused(wire.parse_offers, page.replace("<i>", "<i><b>", 1), "an element is too large")


def test_every_field_of_a_server() -> None:
    one, two = wire.parse_servers(SERVERS.replace(ROW, ROW + SHUT_ROW), URL)
    assert one == wire.ServerRow(
        id="101",
        machine="028",
        gpu="Titan RTX",
        endpoint=Endpoint("mist", "gpu28.mistgpu.com", 10000),
        running=True,
        started_at=STARTED,
        stopped_at=None,
        kept_until=None,
        note="正在运行",
    )
    assert two == wire.ServerRow(
        id="102",
        machine="034",
        gpu="P100",
        endpoint=None,
        running=False,
        started_at=STARTED,
        stopped_at=STOPPED,
        kept_until=datetime(2020, 3, 16, 1, tzinfo=UTC),
        note="已关机 保留",
    )


@pytest.mark.parametrize("state", ["短租中", "正在运行 3 小时"])
def test_states_of_a_running_server(state: str) -> None:
    (server,) = wire.parse_servers(SERVERS.replace("正在运行", state), URL)
    assert (server.running, server.note) == (True, state)


def test_a_server_list_may_be_empty() -> None:
    assert wire.parse_servers(SERVERS.replace(ROW, ""), URL) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("</html>", "", "the server list is incomplete"),
        ("</table>", "", "the server list is incomplete"),
        ('id="servers"', 'id="machines"', "the server list is incomplete"),
        ("<table", "<!-- <table", "the page is incomplete"),
        ("正在运行", "维护中", "a server row with missing columns"),
        ("<td>上传文件 Jupyter</td>", "", "a server row with missing columns"),
        ("server_id", "id", "a server row with missing columns"),
        ("mist@", "", "unrecognized SSH command"),
        ("2020-03-01T00:00:00+00:00", "yesterday", "not a time with a time zone"),
        ("2020-03-01T00:00:00+00:00", "2020-03-01T00:00:00", "not a time with a time zone"),
        ('data-stopped=""', 'data-stopped="x"', "not a time with a time zone"),
        ('data-kept=""', 'data-kept="x"', "not a time with a time zone"),
        ("<td>028</td>", "<td>028</td>" + "<i></i>" * 1_000, "an element is too large"),
    ],
)
def test_a_server_list_that_changed(old: str, new: str, what: str) -> None:
    page = SERVERS.replace(old, new)
    if what == "a server row with missing columns" and old.startswith("<td>"):
        page = page.replace("<td><form>", "<form>").replace("</form></td>", "</form>")
    check_refused(wire.parse_servers, page, what)


def test_a_row_of_five_columns_is_whole() -> None:
    page = SERVERS.replace("</td>\n<td><form>", "<form>")
    assert page.count("<td>") == 5
    assert len(wire.parse_servers(page, URL)) == 1


def test_a_server_without_an_id_has_none() -> None:
    (server,) = wire.parse_servers(SERVERS.replace(' value="101"', ""), URL)
    assert server.id == ""


def test_a_server_whose_machine_is_offered_no_more() -> None:
    (server,) = wire.parse_servers(SERVERS, URL)
    assert wire.make_unlisted_offer(server) == Offer(
        key="028",
        provider="mistgpu",
        hardware=Hardware(gpu="Titan RTX", gpus=1),
        tariff=Metered(price=UnitPrice.make_unknown(CNY)),
        available=False,
        note="the price is not known",
    )
