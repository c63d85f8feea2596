"""The service as an application: the edge's question for each request, and the pages below `/-/`."""

import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from login import audit, pages
from login.attempts import WINDOW_SECONDS, Attempts
from login.identities import COOKIE, Identities, Person, address_of, fingerprint, network_of
from login.passwords import BusyError, PasswordCheck
from login.provider import CALLBACK, IdentityProvider, ProviderError
from login.sessions import Session, Sessions
from login.settings import Settings
from login.storage import open_database, signing_key
from login.users import UsersError, UsersFile

FLOW_COOKIE = "__Host-tranship-flow"
_FLOW_SECONDS = 30 * 60
_MAX_FORM_BYTES = 16_384
_WRONG = "Name or password is wrong."
_WAIT = f"There were too many wrong tries. Wait {WINDOW_SECONDS // 60} minutes."
_STALE = "This page was open for too long. Please try again."


def application(settings: Settings, write: audit.Write = audit.write_line) -> Starlette:
    """The application of a deployment's settings, with its state opened."""
    database = open_database(settings.state)
    users = UsersFile(settings.state)
    sessions = Sessions(
        database,
        idle_seconds=settings.idle_seconds,
        absolute_seconds=settings.absolute_seconds,
    )
    provider = settings.provider
    service = LoginService(
        settings=settings,
        users=users,
        sessions=sessions,
        attempts=Attempts(database),
        provider=IdentityProvider(
            provider, provider.client_secret_file.read_text().strip(), settings.url
        )
        if provider
        else None,
        write=write,
    )
    return Starlette(
        routes=service.routes(),
        middleware=[
            Middleware(
                SessionMiddleware,
                secret_key=signing_key(settings.state),
                session_cookie=FLOW_COOKIE,
                max_age=_FLOW_SECONDS,
                same_site="lax",
                https_only=True,
            )
        ],
    )


class LoginService:
    """What the routes do.

    Args:
        settings: The service's settings.
        users: The users file.
        sessions: The sessions.
        attempts: The wrong tries.
        provider: The identity provider, where there is one.
        write: Where lines of the audit go.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        users: UsersFile,
        sessions: Sessions,
        attempts: Attempts,
        provider: IdentityProvider | None,
        write: audit.Write,
    ):
        self._settings = settings
        self._users = users
        self._sessions = sessions
        self._attempts = attempts
        self._provider = provider
        self._write = write
        self._identities = Identities(settings, users, sessions)
        self._passwords = PasswordCheck()

    def routes(self) -> list[Route]:
        """The routes: what the edge asks, and the pages."""
        return [
            Route("/-/check", self.check),
            Route("/-/health", self.health),
            Route("/-/login", self.show_login, methods=["GET"]),
            Route("/-/login", self.log_in, methods=["POST"]),
            Route("/-/account", self.account),
            Route("/-/logout", self.account, methods=["GET"]),
            Route("/-/logout", self.log_out, methods=["POST"]),
            Route("/-/oidc/start", self.start_provider),
            Route(CALLBACK, self.finish_provider),
        ]

    # ---- the edge's question ----

    async def check(self, request: Request) -> Response:
        """Who asks: 204 with user and role, or what to answer instead."""
        person = self._person(request)
        if person is not None:
            named = {
                "X-Tranship-User": quote(person.user, safe="@._+-"),
                "X-Tranship-Role": person.role,
            }
            return Response(status_code=204, headers=named)
        uri = request.headers.get("x-forwarded-uri", "/")
        is_page = request.headers.get(
            "x-forwarded-method"
        ) == "GET" and "text/html" in request.headers.get("accept", "")
        if self._settings.proxy is not None:
            return PlainTextResponse("You have no role here.\n", status_code=403)
        if is_page:
            return RedirectResponse(
                f"/-/login?{urlencode({'next': own_path(uri)})}", status_code=302
            )
        return JSONResponse({"error": "Log in first."}, status_code=401)

    async def health(self, _: Request) -> Response:
        """Whether the state can be read."""
        self._sessions.find("nobody's")
        self._users.all()
        return PlainTextResponse("well\n")

    # ---- name and password ----

    async def show_login(self, request: Request) -> Response:
        """The login page."""
        if self._settings.proxy is not None:
            return self._page(
                pages.message_page("No login here", "Your company's proxy says who you are."), 404
            )
        if "next" in request.query_params:
            request.session["next"] = own_path(request.query_params["next"])
        return self._login_page(request, "", 200)

    async def log_in(self, request: Request) -> Response:
        """Take name and password."""
        if "users" not in self._settings.ways:
            return self._login_page(request, "There is no login by password here.", 404)
        form = await self._own_form(request)
        if form is None:
            return self._login_page(request, _STALE, 400)
        name, password = form.get("name", ""), form.get("password", "")
        address = address_of(request)
        network = network_of(address)
        known = self._users.find(name)
        shown = known.name if known else None
        if self._attempts.must_wait(name, network):
            self._write(audit.entry("login locked", shown, address))
            return self._login_page(request, _WAIT, 429)
        # Before the check, which takes a while: all of those who try at the same time are counted.
        self._attempts.failed(name, network)
        stored = known.password_hash if known else None
        try:
            right = await self._passwords.is_right(stored, password)
        except BusyError:
            return self._login_page(request, "Too many people log in. Try again.", 503)
        if not right or known is None or stored is None:
            self._write(audit.entry("login failed", shown, address, way="users"))
            return self._login_page(request, _WRONG, 401)
        self._attempts.succeeded(name, network)
        return self._logged_in(
            request, Session(known.name, known.role, "users", fingerprint(stored))
        )

    # ---- the identity provider ----

    async def start_provider(self, request: Request) -> Response:
        """Send somebody to the identity provider."""
        if self._provider is None:
            return self._login_page(request, "There is no such login here.", 404)
        try:
            return await self._provider.start(request)
        except ProviderError as error:
            return self._provider_failed(request, str(error), 502)

    async def finish_provider(self, request: Request) -> Response:
        """Take somebody back from the identity provider."""
        if self._provider is None:
            return self._login_page(request, "There is no such login here.", 404)
        try:
            identity = await self._provider.finish(request)
        except ProviderError as error:
            return self._provider_failed(request, str(error), 401)
        role = self._settings.rules.role_of(identity)
        if role is None:
            line = audit.entry(
                "login failed", identity.name, address_of(request), way="oidc", subject=identity.user,
                reason="no rule gives a role", groups=len(identity.groups),
            )  # fmt: skip
            self._write(line)
            text = f"{identity.name} may not come in here. Ask the people who run this."
            return self._page(pages.message_page("No way in", text), 403)
        credential = self._identities.provider_credential
        session = Session(identity.name, role, "oidc", credential)
        return self._logged_in(request, session, subject=identity.user)

    def _provider_failed(self, request: Request, reason: str, status: int) -> Response:
        self._write(
            audit.entry("login failed", None, address_of(request), way="oidc", reason=reason)
        )
        return self._login_page(
            request, "Your organisation's login did not work. Try again.", status
        )

    # ---- the account ----

    async def account(self, request: Request) -> Response:
        """Who is logged in, with the way out."""
        person = self._person(request)
        if person is None:
            return RedirectResponse("/-/login", status_code=302)
        return self._page(pages.account_page(_form_token(request), person.user, person.role), 200)

    async def log_out(self, request: Request) -> Response:
        """End this session, or all of the user's."""
        form = await self._own_form(request)
        if form is None:
            return self._page(pages.message_page("Not logged out", _STALE), 400)
        person = self._person(request)
        if person is not None:
            everywhere = form.get("everywhere") == "yes"
            self._write(
                audit.entry("logout", person.user, address_of(request), everywhere=everywhere)
            )
            if everywhere:
                self._sessions.end_all(person.user)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        request.session.clear()
        response = RedirectResponse("/-/login", status_code=303)
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        return response

    # ---- what they share ----

    def _person(self, request: Request) -> Person | None:
        try:
            return self._identities.person_of(request)
        except UsersError as error:
            # Nobody is let in by a file that cannot be read, and the log says why.
            self._write({"error": str(error)})
            return None

    def _logged_in(self, request: Request, session: Session, **more: str) -> Response:
        # What another login of this browser has left is of no use to anybody.
        self._sessions.end(request.cookies.get(COOKIE, ""))
        token = self._sessions.begin(session)
        destination = own_path(request.session.get("next", "/"))
        request.session.clear()
        line = audit.entry(
            "login",
            session.user,
            address_of(request),
            way=session.source,
            role=session.role,
            **more,
        )
        self._write(line)
        response = RedirectResponse(destination, status_code=303)
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(self._sessions.absolute_seconds),
            path="/",
            secure=True,
            httponly=True,
            samesite="lax",
        )
        return response

    async def _own_form(self, request: Request) -> Mapping[str, str] | None:
        """The fields of a form of ours; `None` where another page sends it, or ours was open for too long."""
        origin = request.headers.get("origin")
        if origin is not None and origin != self._settings.url:
            return None
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return None
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _MAX_FORM_BYTES:
                return None
        try:
            fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=8)
        except ValueError:
            return None
        form = {name: values[0] for name, values in fields.items() if len(values) == 1}
        expected = request.session.get("form_token", "")
        given = form.get("form_token", "")
        if not expected or not hmac.compare_digest(expected.encode(), given.encode()):
            return None
        return form

    def _login_page(self, request: Request, problem: str, status: int) -> Response:
        page = pages.login_page(
            _form_token(request),
            problem,
            with_password="users" in self._settings.ways,
            with_provider=self._provider is not None,
        )
        return self._page(page, status)

    def _page(self, page: str, status: int) -> Response:
        headers = {"Content-Security-Policy": pages.POLICY, "Cache-Control": "no-store"}
        return HTMLResponse(page, status_code=status, headers=headers)


def _form_token(request: Request) -> str:
    return request.session.setdefault("form_token", secrets.token_urlsafe(24))


def own_path(target: str) -> str:
    """A path of ours to go on to; the first page for whatever leads elsewhere.

    Example:
        >>> own_path("/runs?a=b"), own_path("//evil.example"), own_path("https://evil.example")
        ('/runs?a=b', '/', '/')
    """
    # Browsers take a backslash for a slash and leave out control characters: https://url.spec.whatwg.org/#url-parsing
    is_odd = any(ord(letter) <= 32 or letter in "\\\x7f" for letter in target)
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    if is_odd or parts.scheme or parts.netloc or len(target) > 2000:
        return "/"
    if not target.startswith("/") or target.startswith(("//", "/-/")):
        return "/"
    return target
