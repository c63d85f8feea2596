"""An OpenID Connect provider as a process of its own, which on request does what a broken or hostile one would.

    python tests/support/identity_provider.py PORT

It asks nobody for a password: whom it says yes for, and what is wrong with what it gives, is set by `POST /next`. What it is asked it checks
as the standard says: client and secret, redirect URI, one use of a code, PKCE.
"""

import base64
import hashlib
import json
import secrets
import sys
import time
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = "tranship"
CLIENT_SECRET = "a secret that only the two know, of more than 32 bytes"
REDIRECT = "https://etl.example.com/-/oidc/callback"
USER: dict[str, Any] = {
    "sub": "1234",
    "preferred_username": "olga@example.com",
    "email": "olga@example.com",
    "email_verified": True,
}


class Provider:
    """The provider's state.

    Args:
        issuer: What it calls itself.
    """

    def __init__(self, issuer: str):
        self.issuer = issuer
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.next: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}

    def routes(self) -> list[Route]:
        return [
            Route("/.well-known/openid-configuration", self.metadata),
            Route("/authorize", self.authorize),
            Route("/token", self.token, methods=["POST"]),
            Route("/jwks", self.jwks),
            Route("/userinfo", self.userinfo),
            Route("/next", self.set_next, methods=["POST"]),
        ]

    async def set_next(self, request: Request) -> Response:
        self.next = await request.json()
        if self.next.get("new_key"):
            kid = secrets.token_hex(4)
            self.key = RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})
        return PlainTextResponse("")

    async def metadata(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.next.get("issuer_in_metadata", self.issuer),
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
            }
        )

    async def jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        well = (
            asked.get("client_id") == CLIENT_ID
            and asked.get("redirect_uri") == REDIRECT
            and asked.get("response_type") == "code"
            and asked.get("code_challenge_method") == "S256"
            and asked.get("nonce")
            and asked.get("state")
            and "openid" in asked.get("scope", "").split()
        )
        if not well:
            return PlainTextResponse(f"refused: {asked}", status_code=400)
        if "error" in self.next:
            answer = {"error": self.next["error"], "state": asked["state"]}
        else:
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            answer = {"code": code, "state": asked["state"]}
        return RedirectResponse(f"{REDIRECT}?{urlencode(answer)}", status_code=302)

    async def token(self, request: Request) -> Response:
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        expected = base64.b64encode(
            f"{quote_plus(CLIENT_ID)}:{quote_plus(CLIENT_SECRET)}".encode()
        ).decode()
        plain = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        well = (
            request.headers.get("authorization") in (f"Basic {expected}", f"Basic {plain}")
            and form.get("grant_type") == "authorization_code"
            and form.get("redirect_uri") == REDIRECT
            and asked is not None
            and asked["code_challenge"] == challenge
        )
        if not well or asked is None:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        answer: dict[str, Any] = {
            "access_token": "access",
            "token_type": "Bearer",
            "expires_in": 300,
        }
        if not self.next.get("no_id_token"):
            answer["id_token"] = self._id_token(asked["nonce"])
        return JSONResponse(answer)

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **USER,
        }
        claims |= self.next.get("claims", {})
        for name in self.next.get("without", []):
            del claims[name]
        for name, seconds in self.next.get("shifted", {}).items():
            claims[name] = now + seconds
        signed_by = self.next.get("signed_by", "our key")
        if signed_by == "nothing":
            parts = ({"alg": "none"}, claims)
            encoded = [
                base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
                for part in parts
            ]
            return ".".join([*encoded, ""])
        if signed_by == "the secret":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET))
        if signed_by == "the public key":
            return jwt.encode(
                {"alg": "HS256"}, claims, OctKey.import_key(self.key.as_pem(private=False))
            )
        key = self.key
        if signed_by == "another key":
            key = RSAKey.generate_key(2048, {"kid": self.key.kid or ""})
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key)

    async def userinfo(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer access":
            return PlainTextResponse("", status_code=401)
        return JSONResponse({**USER, **self.next.get("userinfo", {})})


def main(port: int) -> None:
    """Serve until stopped."""
    provider = Provider(f"http://127.0.0.1:{port}")
    uvicorn.run(
        Starlette(routes=provider.routes()), host="127.0.0.1", port=port, log_level="warning"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
