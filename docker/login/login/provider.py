"""OpenID Connect: authorization code with PKCE, by Authlib, and who somebody is by the ID token.

Authlib makes and checks state, nonce and the code's challenge, and verifies the ID token's signature. What it leaves to its caller is
set here: that the provider calls itself what we call it, whom a token must be from and for, and which signatures count.
https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from login.roles import Identity
from login.settings import Provider

CALLBACK = "/-/oidc/callback"
_CLOCK_SKEW_SECONDS = 120
_TIMEOUT_SECONDS = 10
_SIGNATURES = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""Those with a key pair. A token signed with our own secret (HS256), or with nothing, is none."""
_MOST_UNDER_WAY = 3
_GOOGLE = "https://accounts.google.com"


class ProviderError(Exception):
    """A login by the provider that does not come to anything; the text says why, for the log."""


class IdentityProvider:
    """The provider of the settings.

    Args:
        provider: Where it is and what it knows us by.
        secret: Our secret there.
        url: Where browsers see us.
    """

    def __init__(self, provider: Provider, secret: str, url: str):
        self._provider = provider
        self._redirect = f"{url}{CALLBACK}"
        oauth = OAuth()
        oauth.register(
            name="provider",
            client_id=provider.client_id,
            client_secret=secret,
            server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={
                "scope": provider.scopes,
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_SECONDS,
                "verify": _trust(provider.authority_file),
            },
        )
        self._client: Any = oauth.create_client("provider")

    async def start(self, request: Request) -> Response:
        """Send the browser to the provider.

        Raises:
            ProviderError: It cannot be reached, or calls itself otherwise.
        """
        # Each login that is begun is kept in the cookie until it ends; a browser sends no cookie of any size.
        under_way = [key for key in request.session if key.startswith("_state_")]
        for key in under_way[: 1 - _MOST_UNDER_WAY] if len(under_way) >= _MOST_UNDER_WAY else ():
            del request.session[key]
        try:
            await self._metadata()
            return await self._client.authorize_redirect(request, self._redirect)
        except (httpx2.HTTPError, AuthlibBaseError, ValueError, RuntimeError) as error:
            raise ProviderError(
                f"{self._provider.issuer}: {type(error).__name__}: {error}"
            ) from error

    async def finish(self, request: Request) -> Identity:
        """Who has come back from the provider.

        Raises:
            ProviderError: The provider refused, or what it gave does not hold.
        """
        provider = self._provider
        try:
            await self._metadata()
            token = await self._client.authorize_access_token(
                request,
                claims_options={
                    "iss": {"essential": True, "value": provider.issuer},
                    "aud": {"essential": True, "value": provider.client_id},
                },
                leeway=_CLOCK_SKEW_SECONDS,
            )
            claims = token.get("userinfo")
            if not claims:
                raise ProviderError(f"{provider.issuer} gave no ID token.")
            return _identity(await self._completed(token, claims), provider)
        except (httpx2.HTTPError, AuthlibBaseError, JoseError, ValueError, RuntimeError) as error:
            raise ProviderError(f"{provider.issuer}: {type(error).__name__}: {error}") from error

    async def _metadata(self) -> Mapping[str, Any]:
        metadata = await self._client.load_server_metadata()
        if metadata.get("issuer") != self._provider.issuer:
            raise ProviderError(
                f"LOGIN_OIDC_ISSUER is {self._provider.issuer!r}, and the provider calls itself {metadata.get('issuer')!r}."
            )
        signatures = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [
            one for one in signatures if one in _SIGNATURES
        ] or ["RS256"]
        return metadata

    async def _completed(self, token: Any, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """The ID token's claims, with those that the provider tells only when it is asked."""
        metadata = await self._metadata()
        wanted = (self._provider.name_claim, "email", self._provider.groups_claim.partition(".")[0])
        if all(name in claims for name in wanted) or not metadata.get("userinfo_endpoint"):
            return claims
        more = await self._client.userinfo(token=token)
        # https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse
        if more.get("sub") != claims["sub"]:
            raise ProviderError(
                f"{self._provider.issuer} tells of somebody else than the token is of."
            )
        return {**more, **claims}


def _trust(authority_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority_file.exists():
        context.load_verify_locations(authority_file)
    return context


def _identity(claims: Mapping[str, Any], provider: Provider) -> Identity:
    email = str(claims.get("email") or "")
    # An address that the provider has not verified is what somebody says of themselves.
    verified = "@" in email and claims.get("email_verified") is True
    domains = {email.rpartition("@")[2]} if verified else set[str]()
    if provider.issuer == _GOOGLE:
        # Anybody may have a Google account with a company's address; `hd` is of accounts that the company manages:
        # https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload
        domains = {claims["hd"]} if isinstance(claims.get("hd"), str) else set[str]()
    name = claims.get(provider.name_claim) or email or claims["sub"]
    return Identity(
        name=str(name),
        user=str(claims["sub"]),
        emails=frozenset({email} if verified else ()),
        domains=frozenset(domains),
        groups=frozenset(_groups(claims, provider.groups_claim)),
    )


def _groups(claims: Mapping[str, Any], path: str) -> list[str]:
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
