"""The MISTGPU simulator for the sandbox, over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route as WebRoute

from gpurent.api import (
    Evidence,
    ManualAccess,
    ProviderSimulator,
    SimulatorContext,
    SimulatorLedgerEntry,
    SimulatorRoute,
    SupportsManualRental,
)
from gpurent_plugin_mistgpu import _
from gpurent_plugin_mistgpu.simulator import pages
from gpurent_plugin_mistgpu.simulator.audit import MistgpuAudit
from gpurent_plugin_mistgpu.simulator.state import MistgpuAccount, MistgpuRefusal, MistgpuState

SESSION_COOKIE = "sessionid"
Handler = Callable[[Request], Awaitable[Response]]
ROUTES = (
    SimulatorRoute(
        method="POST",
        path="/login/",
        evidence=Evidence.SOURCE,
        note=_("fields username and password; session cookie"),
    ),
    SimulatorRoute(
        method="GET",
        path="/create/",
        evidence=Evidence.SOURCE,
        note=_("radio buttons in .card.form-check; disabled means taken"),
    ),
    SimulatorRoute(
        method="GET",
        path="/user/",
        evidence=Evidence.SOURCE,
        note=_("address and columns known, markup assumed"),
    ),
    SimulatorRoute(
        method="GET", path="/signup/", evidence=Evidence.SOURCE, note=_("address known, form assumed")
    ),
    SimulatorRoute(method="POST", path="/signup/", evidence=Evidence.ASSUMED),
    SimulatorRoute(method="GET", path="/login/", evidence=Evidence.ASSUMED),
    SimulatorRoute(
        method="POST",
        path="/create/",
        evidence=Evidence.ASSUMED,
        note=_("wiki: machine, and a password chosen by the user"),
    ),
    SimulatorRoute(
        method="POST", path="/user/shutdown/", evidence=Evidence.ASSUMED, note=_("only the button is known")
    ),
    SimulatorRoute(method="POST", path="/user/start/", evidence=Evidence.ASSUMED),
    SimulatorRoute(
        method="POST", path="/user/delete/", evidence=Evidence.ASSUMED, note=_("only the button is known")
    ),
    SimulatorRoute(method="GET", path="/user/bills/", evidence=Evidence.ASSUMED),
    SimulatorRoute(
        method="POST", path="/user/recharge/", evidence=Evidence.ASSUMED, note=_("wiki: Alipay, in CNY")
    ),
    SimulatorRoute(
        method="GET", path="/user/invoice/", evidence=Evidence.ASSUMED, note=_("wiki: from 200 CNY spent")
    ),
    SimulatorRoute(method="POST", path="/user/invoice/", evidence=Evidence.ASSUMED),
    SimulatorRoute(method="GET", path="/pay/alipay/{id}", evidence=Evidence.ASSUMED),
    SimulatorRoute(
        method="POST", path="/pay/alipay/{id}/settle", evidence=Evidence.ASSUMED, note=_("the sandbox pays")
    ),
)


class MistgpuSimulator(MistgpuAudit, ProviderSimulator, SupportsManualRental):
    """Simulates MISTGPU.

    Settings: username, password (random by default), free, taken, session_minutes, missing, disk_bytes, api (off: every
    request gets a 503).
    """

    def __init__(self, context: SimulatorContext) -> None:
        self._context = context
        self.state = MistgpuState(context)
        self._sessions: dict[str, tuple[str, datetime]] = {}
        self._session_lifetime = timedelta(minutes=int(context.settings.get("session_minutes", "20160")))

    def list_routes(self) -> Sequence[SimulatorRoute]:
        return ROUTES

    def list_ledger_entries(self) -> Sequence[SimulatorLedgerEntry]:
        return self.state.ledger

    def list_billed_machines(self) -> Sequence[str]:
        return [server.id for server in self.state.servers.values() if server.running]

    def make_plugin_settings(self, url: str) -> Mapping[str, str]:
        return {"url": url, "allow_assumed": "no" if self._is_api_off else "yes"}

    def make_login_fields(self) -> Mapping[str, str]:
        account = next(iter(self.state.accounts.values()))
        return {"username": account.name, "password": account.password}

    @property
    def _is_api_off(self) -> bool:
        return self._context.settings.get("api") == "off"

    async def rent_manually(self) -> ManualAccess:
        """Top up 40 CNY if the balance is 0, create a server on the first free machine, and return its SSH command."""
        async with self.state.lock:
            await self.state.catch_up()
            account = next(iter(self.state.accounts.values()))
            if account.balance <= 0:
                self.state.settle_top_up(self.state.create_top_up(account.name, "40"))
            machine = next(found for found in self.state.machines.values() if not found.user)
            password = f"Hand7{secrets.token_hex(6)}"
            server = await self.state.create_server(account.name, machine.id, password)
            live = server.sandbox_machine
            if live is None:
                raise MistgpuRefusal("没有开机")
            return ManualAccess(
                ssh_command=f"ssh mist@{live.host} -p {live.port}", password=password, ref=server.id
            )

    async def stop_manually(self, ref: str) -> None:
        async with self.state.lock:
            await self.state.catch_up()
            server = self.state.servers.get(ref)
            if server is not None and server.running:
                await self.state.shut_down(server, self._context.clock.now(), "用户关机")
            await self.state.catch_up()

    async def tick(self) -> None:
        async with self.state.lock:
            await self.state.catch_up()

    def get_app(self) -> Starlette:
        books = self.state
        handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/login/"): self._show_login,
            ("POST", "/login/"): self._log_in,
            ("GET", "/signup/"): self._show_signup,
            ("POST", "/signup/"): self._sign_up,
            ("GET", "/create/"): self._page_handler(self._render_machines),
            ("POST", "/create/"): self._form_handler(
                books.create_server, "machine_id", "password", render_error=self._render_machines
            ),
            ("GET", "/user/"): self._page_handler(self._render_servers),
            ("GET", "/user/bills/"): self._page_handler(self._render_bills),
            ("POST", "/user/shutdown/"): self._form_handler(books.shut_down_by_user, "server_id"),
            ("POST", "/user/start/"): self._form_handler(books.start_server, "server_id", "password"),
            ("POST", "/user/delete/"): self._form_handler(books.delete_server, "server_id"),
            ("POST", "/user/recharge/"): self._require_login(self._create_top_up),
            ("GET", "/user/invoice/"): self._page_handler(self._render_invoices),
            ("POST", "/user/invoice/"): self._form_handler(
                books.request_invoice,
                "title",
                "tax_id",
                "email",
                "amount",
                render_error=self._render_invoices,
                redirect_to="/user/invoice/",
            ),
            ("GET", "/pay/alipay/{id}"): self._handle_alipay,
            ("POST", "/pay/alipay/{id}/settle"): self._handle_alipay,
        }
        return Starlette(
            routes=[
                WebRoute(path, self._with_lock(call), methods=[m]) for (m, path), call in handlers.items()
            ]
        )

    def _with_lock(self, handler: Handler) -> Handler:
        """Wrap ``handler`` so that it runs alone and with an up-to-date state."""

        async def timely(request: Request) -> Response:
            if self._is_api_off:
                return HTMLResponse("503", 503)
            # Read before taking the lock, so that a slow client does not block the others.
            await request.body()
            async with self.state.lock:
                await self.state.catch_up()
                return await handler(request)

        return timely

    def _require_login(self, handler: Callable[[Request, MistgpuAccount], Awaitable[Response]]) -> Handler:
        async def member(request: Request) -> Response:
            name, until = self._sessions.get(request.cookies.get(SESSION_COOKIE, ""), ("", None))
            if until is None or until < self._context.clock.now():
                return RedirectResponse(f"/login/?next={request.url.path}", 302)
            return await handler(request, self.state.accounts[name])

        return member

    def _page_handler(self, render: Callable[[MistgpuAccount], Response]) -> Handler:
        async def shown(_request: Request, account: MistgpuAccount) -> Response:
            return render(account)

        return self._require_login(shown)

    def _form_handler(
        self,
        action: Callable[..., Awaitable[object]],
        *fields: str,
        render_error: Callable[[MistgpuAccount, str], Response] | None = None,
        redirect_to: str = "/user/",
    ) -> Handler:
        """Return a handler that calls ``action`` with these fields of the form.

        A refusal is shown on the page that ``render_error`` renders, by default the server list.
        """

        async def submitted(request: Request, account: MistgpuAccount) -> Response:
            form = await request.form()
            try:
                await action(account.name, *(str(form.get(name, "")) for name in fields))
            except MistgpuRefusal as why:
                return (render_error or self._render_servers)(account, str(why))
            await self.state.catch_up()
            return RedirectResponse(redirect_to, 302)

        return self._require_login(submitted)

    # login

    async def _show_login(self, request: Request) -> Response:
        return HTMLResponse(pages.render_login())

    async def _log_in(self, request: Request) -> Response:
        form = await request.form()
        account = self.state.accounts.get(str(form.get("username", "")))
        given = str(form.get("password", ""))
        if account is None or not secrets.compare_digest(account.password.encode(), given.encode()):
            return HTMLResponse(pages.render_login("用户名或密码错误"))
        return self._start_session(account)

    def _start_session(self, account: MistgpuAccount) -> Response:
        token = secrets.token_hex(16)
        self._sessions[token] = (account.name, self._context.clock.now() + self._session_lifetime)
        answer = RedirectResponse("/user/", 302)
        answer.set_cookie(SESSION_COOKIE, token, httponly=True)
        return answer

    async def _show_signup(self, request: Request) -> Response:
        return HTMLResponse(pages.render_signup())

    async def _sign_up(self, request: Request) -> Response:
        form = await request.form()
        name, password = str(form.get("username", "")), str(form.get("password", ""))
        if not name or len(password) < 8:
            return HTMLResponse(pages.render_signup("请填写手机号或邮箱，密码至少 8 位"))
        if name in self.state.accounts:
            return HTMLResponse(pages.render_signup("已经注册过"))
        self.state.accounts[name] = MistgpuAccount(name, password)
        return self._start_session(self.state.accounts[name])

    # servers

    def _render_machines(self, account: MistgpuAccount, error: str = "") -> Response:
        return HTMLResponse(pages.render_create(list(self.state.machines.values()), error))

    def _render_servers(self, account: MistgpuAccount, error: str = "") -> Response:
        return HTMLResponse(pages.render_user(account, self.list_shown_servers(account.name), error))

    def _render_bills(self, account: MistgpuAccount) -> Response:
        paid = [top_up for top_up in self.state.top_ups.values() if top_up.account == account.name]
        return HTMLResponse(pages.render_bills(self.state.list_billed_servers(account.name), paid))

    # money

    async def _create_top_up(self, request: Request, account: MistgpuAccount) -> Response:
        form = await request.form()
        try:
            made = self.state.create_top_up(account.name, str(form.get("amount", "")))
        except MistgpuRefusal as why:
            return self._render_servers(account, str(why))
        return RedirectResponse(f"/pay/alipay/{made.id}", 302)

    def _render_invoices(self, account: MistgpuAccount, error: str = "") -> Response:
        return HTMLResponse(pages.render_invoices(account, error))

    async def _handle_alipay(self, request: Request) -> Response:
        """Show the payment page; a POST makes the payment."""
        found = self.state.top_ups.get(request.path_params["id"])
        if found is None:
            return HTMLResponse("404", 404)
        if request.method == "POST":
            self.state.settle_top_up(found)
        return HTMLResponse(pages.render_alipay(found))
