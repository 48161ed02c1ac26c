"""The simulator's pages. The markup of the login form and of the machine list is that of 2020.

The rest is assumed.
"""

from __future__ import annotations

from datetime import datetime
from html import escape

from gpurent_plugin_mistgpu.simulator.state import (
    MistgpuAccount,
    MistgpuTopUp,
    RentalMachine,
    RentedServer,
)


def _render_page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="zh"><head><meta charset="utf-8"><title>{title} - MISTGPU 模拟服务</title></head>'
        f'<body><h1>{title}</h1><p><a href="/create/">创建服务器</a> <a href="/user/">服务器管理</a> '
        f'<a href="/user/bills/">消费记录</a> <a href="/user/invoice/">发票</a></p>\n{body}\n</body></html>'
    )


def _render_alert(text: str) -> str:
    return f'<div class="alert alert-danger">{escape(text)}</div>' if text else ""


def _format_money(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02} 元"


def _format_time(at: datetime | None) -> str:
    return at.isoformat() if at is not None else ""


def render_login(error: str = "") -> str:
    return _render_page(
        "登录",
        f'{_render_alert(error)}<form method="post" action="/login/"><input name="username" placeholder="手机号或邮箱">'
        '<input type="password" name="password"><button>登录</button></form><a href="/signup/">注册</a>',
    )


def render_signup(error: str = "") -> str:
    return _render_page(
        "注册",
        f'{_render_alert(error)}<form method="post" action="/signup/">'
        '<input name="username" placeholder="手机号或邮箱">'
        '<input type="password" name="password"><button>注册</button></form>',
    )


def render_create(machines: list[RentalMachine], error: str = "") -> str:
    cards = "\n".join(
        '<div class="card form-check"><input class="form-check-input" type="radio" name="machine_id" '
        f'value="{machine.id}"{" disabled" if machine.user else ""}>'
        f'<span class="card-title">{machine.model}</span> <span>{_format_money(machine.price)}/小时</span></div>'
        for machine in machines
    )
    return _render_page(
        "创建服务器",
        f'{_render_alert(error)}<form method="post" action="/create/">{cards}<input type="password" name="password">'
        '<select name="image"><option>torch</option><option>tf2.x</option></select><button>创建</button></form>',
    )


def render_user(account: MistgpuAccount, servers: list[RentedServer], error: str = "") -> str:
    rows = "\n".join(_render_server_row(server) for server in servers)
    return _render_page(
        "服务器管理",
        f'{_render_alert(error)}<p id="balance">余额 {_format_money(account.balance)}</p>'
        f'<p id="spent">累计消费 {_format_money(account.spent)}</p>'
        '<form method="post" action="/user/recharge/"><input name="amount"><button>支付宝充值</button></form>'
        f'<table id="servers"><tr><th>ID</th><th>配置</th><th>SSH命令</th><th>附加功能</th><th>状态</th>'
        f"<th>操作</th></tr>\n{rows}</table>",
    )


def _render_server_row(server: RentedServer) -> str:
    run = server.runs[-1]
    live = server.sandbox_machine
    ssh = f"ssh mist@{live.host} -p {live.port}" if live is not None else "-"
    state = (
        "正在运行"
        if server.running
        else f"已关机 {server.note}，文件保留至 {server.kept_until:%Y-%m-%d %H:%M}"
    )
    hidden = f'<input type="hidden" name="server_id" value="{server.id}">'
    actions = ("shutdown", "关机") if server.running else ("start", "开机")
    return (
        f'<tr data-started="{_format_time(run.started_at)}" data-stopped="{_format_time(run.ended_at)}" '
        f'data-kept="{"" if server.running else _format_time(server.kept_until)}"><td>{server.machine.id}</td>'
        f"<td>{server.machine.model}</td><td>{ssh}</td><td>上传文件 Jupyter 代码编辑器 命令行</td>"
        f'<td>{state}</td><td><form method="post" action="/user/{actions[0]}/">{hidden}'
        f"<button>{actions[1]}</button></form>"
        f'<form method="post" action="/user/delete/">{hidden}<button>删除服务器</button></form></td></tr>'
    )


def render_bills(servers: list[RentedServer], top_ups: list[MistgpuTopUp]) -> str:
    rows = "\n".join(
        f'<tr data-started="{_format_time(run.started_at)}" data-stopped="{_format_time(run.ended_at)}">'
        f"<td>{server.id}</td>"
        f"<td>{run.started_at:%Y-%m-%d %H:%M}</td><td>{f'{run.ended_at:%Y-%m-%d %H:%M}' if run.ended_at else '-'}</td>"
        f"<td>{run.minutes}</td><td>{_format_money(run.paid)}</td></tr>"
        for server in servers
        for run in server.runs
    )
    paid = "\n".join(
        f'<tr data-paid="{_format_time(top_up.settled_at)}"><td>{top_up.id}</td><td>支付宝</td>'
        f"<td>{_format_money(top_up.amount)}</td></tr>"
        for top_up in top_ups
        if top_up.settled_at
    )
    return _render_page(
        "消费记录",
        '<table id="bills"><tr><th>服务器</th><th>开机时间</th><th>关机时间</th><th>分钟</th><th>金额</th></tr>'
        f"{rows}</table>"
        f'<table id="recharges"><tr><th>单号</th><th>方式</th><th>金额</th></tr>{paid}</table>',
    )


def render_invoices(account: MistgpuAccount, error: str = "") -> str:
    rows = "\n".join(
        f"<tr><td>{item.number}</td><td>{escape(item.title)}</td><td>{_format_money(item.fen)}</td></tr>"
        for item in account.invoices
    )
    fields = "".join(f'<input name="{name}">' for name in ("title", "tax_id", "email", "amount"))
    return _render_page(
        "发票",
        f'{_render_alert(error)}<form method="post" action="/user/invoice/">{fields}<button>申请</button></form>'
        f'<table id="invoices"><tr><th>编号</th><th>抬头</th><th>金额</th></tr>{rows}</table>',
    )


def render_alipay(top_up: MistgpuTopUp) -> str:
    state = "已支付" if top_up.settled_at else "等待支付"
    return _render_page(
        "支付宝",
        f'<p>{state} {_format_money(top_up.amount)}</p><form method="post" action="/pay/alipay/{top_up.id}/settle">'
        "<button>模拟付款</button></form>",
    )
