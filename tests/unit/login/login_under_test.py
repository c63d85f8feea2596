"""The login service in this process, asked as the edge asks it."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx

from login.application import application
from login.commands import main as command
from login.settings import Settings

PASSWORD = "correct horse battery"
URL = "https://etl.example.com"


class LoginUnderTest:
    """The service of some settings, and what it wrote."""

    def __init__(self, state: Path, **settings: str):
        self.state = state
        self.lines: list[dict[str, Any]] = []
        given = {"LOGIN_DOMAIN": "etl.example.com", "LOGIN_STATE": str(state)}
        self.environment = {**given, **{f"LOGIN_{name}": value for name, value in settings.items()}}
        self.app = application(Settings.from_environment(self.environment), self.lines.append)

    def add_user(self, name: str, role: str = "viewer", password: str = PASSWORD) -> None:
        from login.passwords import hash_password
        from login.users import User, UsersFile

        UsersFile(self.state).add(User(name, role, hash_password(password)))

    def command(self, *arguments: str) -> int:
        return command(arguments, self.environment)

    def browser(self, address: str = "10.1.2.3", peer: str = "") -> "Browser":
        return Browser(self, address, peer)

    def events(self) -> list[str]:
        return [line["audit"] for line in self.lines]


class Browser:
    """Somebody behind the edge, which says where they are."""

    def __init__(self, login: LoginUnderTest, address: str, peer: str):
        self._login = login
        self._edge = {"x-tranship-address": address, "x-tranship-peer": peer or address}
        self.cookies: dict[str, str] = {}

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self._edge, **options.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._login.app)
            async with httpx.AsyncClient(
                transport=transport, base_url=URL, cookies=self.cookies
            ) as client:
                return await client.request(method, path, headers=headers, **options)

        answer = asyncio.run(send())
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        for header in answer.headers.get_list("set-cookie"):
            if "Max-Age=0" in header or "1970" in header:
                self.cookies.pop(header.partition("=")[0], None)
        return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def form_token(self, path: str = "/-/login") -> str:
        shown = re.search(r'name="form_token" value="([^"]+)"', self.get(path).text)
        assert shown
        return shown[1]

    def log_in(self, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
        fields = {"form_token": self.form_token(), "name": name, "password": password}
        return self.request("POST", "/-/login", data=fields, headers={"origin": URL, **headers})

    def log_out(self, **fields: str) -> httpx.Response:
        data = {"form_token": self.form_token("/-/account"), **fields}
        return self.request("POST", "/-/logout", data=data, headers={"origin": URL})

    def asked(self, uri: str = "/", **headers: str) -> httpx.Response:
        """What the edge is told when this browser asks for something."""
        asked = {"x-forwarded-uri": uri, "x-forwarded-method": "GET", **headers}
        return self.get("/-/check", headers=asked)

    @property
    def role(self) -> str | None:
        return self.asked().headers.get("x-tranship-role")
