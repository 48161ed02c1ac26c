"""The fake MISTGPU for the sandbox, over HTTP."""

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
    Route,
    SimulatorContext,
    SimulatorLedgerEntry,
    SupportsManualRental,
)
from gpurent_plugin_mistgpu.simulator import pages
from gpurent_plugin_mistgpu.simulator.books import MistgpuBooks, SiteAccount, SiteRefusal

COOKIE = "sessionid"
Handler = Callable[[Request], Awaitable[Response]]
ROUTES = (
    Route(
        method="POST",
        path="/login/",
        evidence=Evidence.SOURCE,
        note="fields username, password; session cookie",
    ),
    Route(
        method="GET",
        path="/create/",
        evidence=Evidence.SOURCE,
        note="radios of .card.form-check, disabled = taken",
    ),
    Route(
        method="GET",
        path="/user/",
        evidence=Evidence.SOURCE,
        note="address and columns known, markup assumed",
    ),
    Route(method="GET", path="/signup/", evidence=Evidence.SOURCE, note="address known, form assumed"),
    Route(method="POST", path="/signup/", evidence=Evidence.ASSUMED),
    Route(method="GET", path="/login/", evidence=Evidence.ASSUMED),
    Route(
        method="POST",
        path="/create/",
        evidence=Evidence.ASSUMED,
        note="machine, password of the user's: wiki",
    ),
    Route(method="POST", path="/user/shutdown/", evidence=Evidence.ASSUMED, note="the button is known"),
    Route(method="POST", path="/user/start/", evidence=Evidence.ASSUMED),
    Route(method="POST", path="/user/delete/", evidence=Evidence.ASSUMED, note="the button is known"),
    Route(method="GET", path="/user/bills/", evidence=Evidence.ASSUMED),
    Route(method="POST", path="/user/recharge/", evidence=Evidence.ASSUMED, note="Alipay in CNY: wiki"),
    Route(method="GET", path="/user/invoice/", evidence=Evidence.ASSUMED, note="from 200 CNY spent: wiki"),
    Route(method="POST", path="/user/invoice/", evidence=Evidence.ASSUMED),
    Route(method="GET", path="/pay/alipay/{id}", evidence=Evidence.ASSUMED),
    Route(method="POST", path="/pay/alipay/{id}/settle", evidence=Evidence.ASSUMED, note="the sandbox pays"),
)


class MistgpuSimulator(ProviderSimulator, SupportsManualRental):
    """Settings: username, password, taken, session_minutes, missing, disk_bytes, api (off: no program is answered)."""

    def __init__(self, site: SimulatorContext) -> None:
        self._site = site
        self.books = MistgpuBooks(site)
        self._sessions: dict[str, tuple[str, datetime]] = {}
        self._patience = timedelta(minutes=int(site.settings.get("session_minutes", "20160")))

    def routes(self) -> Sequence[Route]:
        return ROUTES

    def ledger(self) -> Sequence[SimulatorLedgerEntry]:
        return self.books.ledger

    def burning(self) -> Sequence[str]:
        return [server.id for server in self.books.servers.values() if server.running]

    def environment(self, url: str) -> Mapping[str, str]:
        return {"url": url, "assumed": "no" if self._off else "yes"}

    @property
    def _off(self) -> bool:
        return self._site.settings.get("api") == "off"

    async def rent_by_hand(self) -> ManualAccess:
        """Top up 40 CNY when nothing is there, create the first free machine, read its SSH command."""
        async with self.books.lock:
            await self.books.catch_up()
            account = next(iter(self.books.accounts.values()))
            if account.balance <= 0:
                self.books.settle(self.books.recharge(account.name, "40"))
            machine = next(found for found in self.books.machines.values() if not found.user)
            password = f"Hand7{secrets.token_hex(6)}"
            server = await self.books.create(account.name, machine.id, password)
            live = server.live
            if live is None:
                raise SiteRefusal("没有开机")
            return ManualAccess(line=f"ssh mist@{live.host} -p {live.port}", password=password, ref=server.id)

    async def stop_by_hand(self, ref: str) -> None:
        async with self.books.lock:
            await self.books.catch_up()
            server = self.books.servers.get(ref)
            if server is not None and server.running:
                await self.books.shut(server, self._site.clock.now(), "用户关机")
            await self.books.catch_up()

    async def tick(self) -> None:
        async with self.books.lock:
            await self.books.catch_up()

    def app(self) -> Starlette:
        books = self.books
        handlers: dict[tuple[str, str], Handler] = {
            ("GET", "/login/"): self._login_page,
            ("POST", "/login/"): self._login,
            ("GET", "/signup/"): self._signup_page,
            ("POST", "/signup/"): self._signup,
            ("GET", "/create/"): self._page(self._offered),
            ("POST", "/create/"): self._form(books.create, "machine_id", "password", shown=self._offered),
            ("GET", "/user/"): self._page(self._list),
            ("GET", "/user/bills/"): self._page(self._bills),
            ("POST", "/user/shutdown/"): self._form(books.shut_by_user, "server_id"),
            ("POST", "/user/start/"): self._form(books.start, "server_id", "password"),
            ("POST", "/user/delete/"): self._form(books.delete, "server_id"),
            ("POST", "/user/recharge/"): self._member(self._recharge),
            ("GET", "/user/invoice/"): self._page(self._invoices),
            ("POST", "/user/invoice/"): self._form(
                books.invoice,
                "title",
                "tax_id",
                "email",
                "amount",
                shown=self._invoices,
                then="/user/invoice/",
            ),
            ("GET", "/pay/alipay/{id}"): self._alipay,
            ("POST", "/pay/alipay/{id}/settle"): self._alipay,
        }
        return Starlette(
            routes=[WebRoute(path, self._timely(call), methods=[m]) for (m, path), call in handlers.items()]
        )

    def _timely(self, handler: Handler) -> Handler:
        """Every request sees the books as they are now, alone."""

        async def timely(request: Request) -> Response:
            if self._off:
                return HTMLResponse("503", 503)
            # Read before the lock: a slow client must not stop the others.
            await request.body()
            async with self.books.lock:
                await self.books.catch_up()
                return await handler(request)

        return timely

    def _member(self, handler: Callable[[Request, SiteAccount], Awaitable[Response]]) -> Handler:
        async def member(request: Request) -> Response:
            name, until = self._sessions.get(request.cookies.get(COOKIE, ""), ("", None))
            if until is None or until < self._site.clock.now():
                return RedirectResponse(f"/login/?next={request.url.path}", 302)
            return await handler(request, self.books.accounts[name])

        return member

    def _page(self, page: Callable[[SiteAccount], Response]) -> Handler:
        async def shown(_request: Request, account: SiteAccount) -> Response:
            return page(account)

        return self._member(shown)

    def _form(
        self,
        act: Callable[..., Awaitable[object]],
        *fields: str,
        shown: Callable[[SiteAccount, str], Response] | None = None,
        then: str = "/user/",
    ) -> Handler:
        """``act`` with these fields of the form; a refusal is told on the page ``shown``, else on the server list."""

        async def submitted(request: Request, account: SiteAccount) -> Response:
            form = await request.form()
            try:
                await act(account.name, *(str(form.get(name, "")) for name in fields))
            except SiteRefusal as why:
                return (shown or self._list)(account, str(why))
            await self.books.catch_up()
            return RedirectResponse(then, 302)

        return self._member(submitted)

    # sign-in

    async def _login_page(self, request: Request) -> Response:
        return HTMLResponse(pages.login())

    async def _login(self, request: Request) -> Response:
        form = await request.form()
        account = self.books.accounts.get(str(form.get("username", "")))
        given = str(form.get("password", ""))
        if account is None or not secrets.compare_digest(account.password.encode(), given.encode()):
            return HTMLResponse(pages.login("用户名或密码错误"))
        return self._signed_in(account)

    def _signed_in(self, account: SiteAccount) -> Response:
        token = secrets.token_hex(16)
        self._sessions[token] = (account.name, self._site.clock.now() + self._patience)
        answer = RedirectResponse("/user/", 302)
        answer.set_cookie(COOKIE, token, httponly=True)
        return answer

    async def _signup_page(self, request: Request) -> Response:
        return HTMLResponse(pages.signup())

    async def _signup(self, request: Request) -> Response:
        form = await request.form()
        name, password = str(form.get("username", "")), str(form.get("password", ""))
        if not name or len(password) < 8:
            return HTMLResponse(pages.signup("请填写手机号或邮箱，密码至少 8 位"))
        if name in self.books.accounts:
            return HTMLResponse(pages.signup("已经注册过"))
        self.books.accounts[name] = SiteAccount(name, password)
        return self._signed_in(self.books.accounts[name])

    # servers

    def _offered(self, account: SiteAccount, error: str = "") -> Response:
        return HTMLResponse(pages.create(list(self.books.machines.values()), error))

    def _list(self, account: SiteAccount, error: str = "") -> Response:
        return HTMLResponse(pages.user(account, self.books.mine(account.name), error))

    def _bills(self, account: SiteAccount) -> Response:
        paid = [recharge for recharge in self.books.recharges.values() if recharge.account == account.name]
        return HTMLResponse(pages.bills(self.books.billed(account.name), paid))

    # money

    async def _recharge(self, request: Request, account: SiteAccount) -> Response:
        form = await request.form()
        try:
            made = self.books.recharge(account.name, str(form.get("amount", "")))
        except SiteRefusal as why:
            return self._list(account, str(why))
        return RedirectResponse(f"/pay/alipay/{made.id}", 302)

    def _invoices(self, account: SiteAccount, error: str = "") -> Response:
        return HTMLResponse(pages.invoices(account, error))

    async def _alipay(self, request: Request) -> Response:
        """The payment page; a POST is the payment."""
        found = self.books.recharges.get(request.path_params["id"])
        if found is None:
            return HTMLResponse("404", 404)
        if request.method == "POST":
            self.books.settle(found)
        return HTMLResponse(pages.alipay(found))
