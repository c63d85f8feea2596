"""How COPY and UNLOAD get at S3: IAM_ROLE, CREDENTIALS or access keys, and whether a role exists."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from standins.redshift.errors import RedshiftError, internal
from standins.redshift.statements import Cursor
from standins.redshift.storage import Keys, Storage

_ROLE = re.compile(r"^arn:aws[\w-]*:iam::(\d{12}):role/([\w+=,.@/-]+)$")
_KEY_WORDS = re.compile(
    r"\b((?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|TOKEN|MASTER_SYMMETRIC_KEY)\s+(?:AS\s+)?)"
    r"'(?:[^'\\]|\\.|'')*'",
    re.IGNORECASE,
)
_KEY_PAIRS = re.compile(
    r"\b(aws_access_key_id|aws_secret_access_key|aws_session_token|token|master_symmetric_key)=[^;']*",
    re.IGNORECASE,
)
ROLE_CACHE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a statement says: roles (chained by commas), or keys. `default` is the cluster's role."""

    roles: tuple[str, ...] = ()
    keys: Keys | None = None
    default: bool = False


def accept_authorization(cursor: Cursor) -> Authorization | None:
    """Read an authorization clause if one comes next."""
    if cursor.accept("IAM_ROLE"):
        cursor.accept("AS")
        if cursor.accept("DEFAULT"):
            return Authorization(default=True)
        text = cursor.string()
        if text.lower() == "default":
            return Authorization(default=True)
        return Authorization(roles=tuple(text.split(",")))
    start = cursor.position
    cursor.accept("WITH")
    if cursor.accept("CREDENTIALS"):
        cursor.accept("AS")
        return _credentials(cursor.string())
    cursor.position = start
    if cursor.accept("ACCESS_KEY_ID"):
        cursor.accept("AS")
        key = cursor.string()
        cursor.expect("SECRET_ACCESS_KEY")
        cursor.accept("AS")
        secret = cursor.string()
        token = None
        if cursor.accept("SESSION_TOKEN") or cursor.accept("TOKEN"):
            cursor.accept("AS")
            token = cursor.string()
        return Authorization(keys=Keys(key, secret, token))
    return None


def _credentials(text: str) -> Authorization:
    words: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        words[name] = value
    if "aws_iam_role" in words:
        return Authorization(roles=tuple(words["aws_iam_role"].split(",")))
    if {"aws_access_key_id", "aws_secret_access_key"} <= set(words):
        token = words.get("token") or words.get("aws_session_token")
        return Authorization(
            keys=Keys(words["aws_access_key_id"], words["aws_secret_access_key"], token)
        )
    raise internal(
        "CREDENTIALS argument must be aws_iam_role=<arn> or aws_access_key_id=<key>;"
        "aws_secret_access_key=<key>",
        8001,
    )


def without_keys(text: str) -> str:
    """A statement as the system views show it: who may read them shall not learn the keys of others."""
    named = _KEY_WORDS.sub(r"\1'***'", text)
    return _KEY_PAIRS.sub(r"\1=***", named)


class Roles:
    """Checks roles against IAM, and remembers those that exist for a while."""

    def __init__(
        self, endpoint: str | None, region: str, default_role: str | None, *, check: bool = True
    ) -> None:
        self._endpoint, self._region = endpoint, region
        self._default, self._check = default_role, check
        self._known: dict[str, float] = {}
        self._lock = threading.Lock()
        self._client: Any = None

    def storage(
        self, authorization: Authorization | None, endpoint: str | None, user: str
    ) -> Storage:
        """S3 as the statement may see it.

        Raises:
            RedshiftError: no authorization, or a role that does not exist.
        """
        if authorization is None:
            raise RedshiftError(
                "CREDENTIALS argument is required but not supplied. "
                "(Hint: specify IAM_ROLE or ACCESS_KEY_ID)",
                "42601",
            )
        roles = authorization.roles
        if authorization.default:
            if self._default is None:
                text = "The default IAM role is not set for the cluster"
                raise internal(text, 8001, "IAM Role=default")
            roles = (self._default,)
        for role in roles:
            self._require(role.strip(), user)
        return Storage(endpoint, self._region, authorization.keys)

    def _require(self, role: str, user: str) -> None:
        match = _ROLE.match(role)
        if match is None:
            raise internal(f"Invalid IAM Role ARN: {role}", 8001, f"IAM Role={role}")
        with self._lock:
            known = time.monotonic() - self._known.get(role, float("-inf")) < ROLE_CACHE_SECONDS
            if known or not self._check:
                return
            if self._lookup(match[2].rsplit("/", 1)[-1]) != role:
                account = match[1]
                arn = f"arn:aws:redshift:{self._region}:{account}:dbuser:standin/{user}"
                text = f"User {arn} is not authorized to assume IAM Role {role}"
                raise internal(text, 8001, f"IAM Role={role}")
            self._known[role] = time.monotonic()

    def _lookup(self, name: str) -> str | None:
        try:
            if self._client is None:
                self._client = _iam(self._endpoint, self._region)
            return self._client.get_role(RoleName=name)["Role"]["Arn"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchEntity":
                return None
            raise internal(f"IAM answered: {error}", 8001) from error
        except BotoCoreError as error:
            raise internal(f"IAM cannot be reached: {error}", 8001) from error


def _iam(endpoint: str | None, region: str) -> Any:
    session = boto3.Session()
    keys = {}
    if session.get_credentials() is None and endpoint is not None:
        keys = {"aws_access_key_id": "standin", "aws_secret_access_key": "standin"}
    client: Callable[..., Any] = session.client
    return client("iam", endpoint_url=endpoint, region_name=region, **keys)
