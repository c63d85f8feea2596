"""SCRAM-SHA-256 (RFC 5802, RFC 7677) and Postgres' md5, from both ends.

As a client the gateway logs in to Postgres. As a verifier it checks a client's password against
the hash Postgres keeps in pg_authid, so that CREATE USER and ALTER USER ... PASSWORD just work.
"""

import base64
import hashlib
import hmac
import secrets


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")


def md5_password(user: str, password: str, salt: bytes) -> str:
    """The answer to Postgres' md5 challenge."""
    inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    outer = hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()
    return f"md5{outer}"


class ScramClient:
    """The client's side of one SCRAM-SHA-256 exchange without channel binding."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._first = f"n=,r={secrets.token_urlsafe(18)}"

    def first(self) -> str:
        """The first message."""
        return "n,," + self._first

    def final(self, challenge: str) -> str:
        """The answer to the server's challenge `r=...,s=...,i=...`."""
        words = dict(part.split("=", 1) for part in challenge.split(","))
        salt = base64.b64decode(words["s"])
        salted = hashlib.pbkdf2_hmac("sha256", self._password.encode(), salt, int(words["i"]))
        client_key = _hmac(salted, "Client Key")
        bare = f"c=biws,r={words['r']}"
        signature = _hmac(hashlib.sha256(client_key).digest(), f"{self._first},{challenge},{bare}")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{bare},p={base64.b64encode(proof).decode()}"


def password_matches(user: str, password: str, verifier: str) -> bool:
    """Whether a clear password belongs to a hash from pg_authid.rolpassword."""
    if verifier.startswith("md5"):
        text = (password + user).encode()
        digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
        return hmac.compare_digest(verifier, f"md5{digest}")
    if not verifier.startswith("SCRAM-SHA-256$"):
        return False
    _, rounds_and_salt, keys = verifier.split("$")
    rounds, salt = rounds_and_salt.split(":")
    stored, _ = keys.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client_key = _hmac(salted, "Client Key")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(stored))
