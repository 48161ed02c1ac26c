"""Parsing pages as the sources show them, pages that have changed, and garbage."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gpurent.api import CNY, Endpoint, GpurentError, UnexpectedResponse
from gpurent_plugin_mistgpu import wire

URL = "https://mistgpu.example/page"
# The markup that a public client of 2020 looks for, inside a minimal page.
LIST = """
<html><body><form method="post">
<div class="card form-check"><input class="form-check-input" type="radio" value="000034">
  <h5 class="card-title">Titan RTX</h5><p>3.50 元/小时</p></div>
<div class="card form-check"><input class="form-check-input" type="radio" value="000028" disabled="disabled">
  <h5 class="card-title">2 x V100</h5><p>价格 5.5元/时</p></div>
</form></body></html>
"""
ROW = """<tr data-started="2020-03-01T00:00:00+00:00" data-stopped="" data-kept=""><td>028</td><td>Titan RTX</td>
<td>ssh mist@gpu28.mistgpu.com -p 10000</td><td>上传文件 Jupyter</td><td>正在运行</td>
<td><form><input type="hidden" name="server_id" value="101"></form></td></tr>"""
SERVERS = f'<html><table id="servers"><tr><th>ID</th></tr>{ROW}</table></html>'


def test_the_machine_list_of_2020() -> None:
    one, two = wire.parse_offers(LIST, URL)
    assert (one.key, one.available, one.hardware.gpu, one.hardware.gpus) == ("000034", True, "Titan RTX", 1)
    assert one.tariff.price.value == Decimal("3.50")
    assert (two.available, two.hardware.gpu, two.hardware.gpus) == (False, "V100", 2)


def test_the_server_list() -> None:
    (server,) = wire.parse_servers(SERVERS, URL)
    assert server.endpoint == Endpoint("mist", "gpu28.mistgpu.com", 10000)
    assert server.running
    assert server.started_at == datetime(2020, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html>维护中</html>",
        LIST.replace("form-check-input", "radio-input"),
        LIST.replace("3.50 元/小时", "面议"),
        LIST.replace("000034", "../../etc"),
        LIST.replace("card-title", "name"),
    ],
)
def test_a_changed_machine_list_is_reported(page: str) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        wire.parse_offers(page, URL)
    assert URL in caught.value.message


@pytest.mark.parametrize(
    "page",
    [
        SERVERS.replace("</table>", ""),
        SERVERS.replace("</html>", ""),
        SERVERS.replace('id="servers"', ""),
        SERVERS.replace("正在运行", "?"),
        SERVERS.replace("ssh mist@gpu28", "ssh -oProxyCommand=evil mist@gpu28"),
        SERVERS.replace('name="server_id"', 'name="sid"'),
    ],
)
def test_an_incomplete_server_list_is_rejected(page: str) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_servers(page, URL)


def test_balance_and_bills() -> None:
    page = '<p id="balance">余额 12.34 元</p><p id="spent">累计消费 200.00 元</p>'
    assert wire.parse_balance(page, URL) == (CNY.money("12.34"), CNY.money("200.00"))
    with pytest.raises(UnexpectedResponse):
        wire.parse_balance("<p id='balance'>余额 很多 元</p>", URL)
    with pytest.raises(UnexpectedResponse):
        wire.parse_runs("<table id='bills'><tr><td>1</td></tr></table>", URL)


def balance_page(text: str) -> str:
    return f'<p id="balance">{text}</p>'


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("余额 1,234.50 元", "1234.50"),
        ("余额：-3.50 元", "-3.50"),
        ("¥ 12", "12"),
        ("￥１２３．５０", "123.50"),
        ("<del>9.00 元</del> 3.50 元", "3.50"),
        ("余额 <b>3.50</b> 元", "3.50"),
    ],
)
def test_an_amount_is_read_as_a_whole(text: str, amount: str) -> None:
    assert wire.parse_balance(balance_page(text), URL)[0] == CNY.money(amount)


@pytest.mark.parametrize(
    "text",
    ["owes 3.50 元", "欠费 3.50 元", "1.234,50 元", "1,23 元", "1 234.50 元", "3.505 元", "3.50", "$3.50", "--3.50 元",
     "<b>1</b>234.50 元", "9.00 元 3.50 元", "3.50 元起", "约 3.50 元", "(3.50 元)", ""],
)  # fmt: skip
def test_an_amount_is_never_cut_out_of_a_text(text: str) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_balance(balance_page(text), URL)


@pytest.mark.parametrize(
    ("price", "value"),
    [
        ("3.12345 元/小时", "3.12345"),
        ("1,234.50 元/小时", "1234.50"),
        ("<del>5.00 元/小时</del> <b>3.50 元/小时</b>", "3.50"),
        ('<span style="text-decoration: line-through">5.00 元/小时</span> 3.50 元/小时', "3.50"),
        ('<i class="text-decoration-line-through">5 元/时</i><i>价格：3.50元/时</i>', "3.50"),
        ("<b>3.50</b> <small>元/小时</small>", "3.50"),
        ("3.50 元<small>/小时</small>", "3.50"),
        ("<span>3.50 元/小时</span><span>租金 3.50 元/小时</span>", "3.50"),
    ],
)
def test_a_price_is_read_as_a_whole(price: str, value: str) -> None:
    offers = wire.parse_offers(LIST.replace("<p>3.50 元/小时</p>", f"<p>{price}</p>"), URL)
    assert offers[0].tariff.price.value == Decimal(value)


@pytest.mark.parametrize(
    "price",
    ["5.00 元/小时 3.50 元/小时", "<b>5.00 元/小时</b><b>3.50 元/小时</b>", "-3.50 元/小时", "1.234,50 元/小时",
     "原价 3.50 元/小时", "<del>3.50 元/小时</del>", "<b>1</b>234.50 元/小时", "12 345 元/小时", "元/小时",
     "1_0 元/小时"],
)  # fmt: skip
def test_a_price_is_never_cut_out_of_a_text(price: str) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_offers(LIST.replace("<p>3.50 元/小时</p>", f"<p>{price}</p>"), URL)


BILL = """<table id="bills"><tr data-started="2020-03-01T00:00:00+00:00" data-stopped="{stopped}"><td>101</td><td>-</td>
<td>-</td><td>{minutes}</td><td>{cost}</td></tr></table>"""


def test_a_bill_is_read_as_a_whole() -> None:
    (run,) = wire.parse_runs(BILL.format(stopped="", minutes="1,234", cost="<s>9.00 元</s> 1,072.00 元"), URL)
    assert (run.minutes, run.cost, run.ended_at) == (1234, CNY.money("1072"), None)


@pytest.mark.parametrize(
    ("stopped", "minutes", "cost"),
    [
        ("yesterday", "7", "1.00 元"),
        ("2020-03-01T01:00:00", "7", "1.00 元"),
        ("", "²", "1.00 元"),
        ("", "7.5", "1.00 元"),
        ("", "-7", "1.00 元"),
        ("", "7", "减免 1.00 元"),
    ],
)
def test_a_bill_that_is_not_understood_is_refused(stopped: str, minutes: str, cost: str) -> None:
    with pytest.raises(UnexpectedResponse):
        wire.parse_runs(BILL.format(stopped=stopped, minutes=minutes, cost=cost), URL)


def test_nonsense_never_crashes() -> None:
    rng = random.Random(7)
    pieces = [
        "<",
        ">",
        "</",
        '"',
        "'",
        "&#x0;",
        "&#99999999;",
        "<!--",
        "<![",
        "元",
        "\0",
        "disabled",
        "<td>",
        "value=",
    ]
    for number in range(500):
        text = list(LIST if number % 2 else SERVERS)
        for _change in range(rng.randint(1, 30)):
            text[rng.randrange(len(text))] = rng.choice(pieces)
        page = "".join(text)
        for parse in (wire.parse_offers, wire.parse_servers, wire.parse_balance, wire.parse_runs):
            try:
                parse(page, URL)
            except GpurentError:
                continue
        wire.parse_error_text(page)
        wire.is_login_page(page)
