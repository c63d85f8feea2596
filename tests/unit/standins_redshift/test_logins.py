"""Passwords, user-name prefixes and the clauses that authorize COPY."""

import base64
import hashlib
import hmac

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from standins.redshift.auth import Login
from standins.redshift.authorization import Authorization, Roles, accept_authorization
from standins.redshift.errors import RedshiftError
from standins.redshift.scram import ScramClient, md5_password, password_matches
from standins.redshift.statements import Cursor, split
from standins.redshift.storage import Keys, service_error, split_url


def verifier(password: str, salt: bytes = b"0123456789abcdef", rounds: int = 4096) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = base64.b64encode(hashlib.sha256(client).digest()).decode()
    return (
        f"SCRAM-SHA-256${rounds}:{base64.b64encode(salt).decode()}"
        f"${stored}:{base64.b64encode(server).decode()}"
    )


@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_only_the_right_password_matches_its_hash(password, other):
    assert password_matches("me", password, verifier(password))
    assert password_matches("me", other, verifier(password)) == (other == password)


def test_old_md5_hashes_match_too():
    stored = "md5" + hashlib.md5(b"secretme").hexdigest()
    assert password_matches("me", "secret", stored)
    assert not password_matches("me", "Secret", stored)
    assert not password_matches("me", "secret", "plain")


def test_the_answers_to_challenges_are_those_of_the_standards():
    # RFC 7677, section 3, with its nonce and password
    client = ScramClient("pencil")
    client._first = "n=user,r=rOprNGfwEbeRWgbNEkqO"
    challenge = (
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert client.final(challenge).endswith("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    assert md5_password("me", "secret", b"salt").startswith("md5")


@pytest.mark.parametrize(
    ("name", "login"),
    [
        ("Awsuser", Login("", "awsuser")),
        ("IAM:me", Login("IAM:", "me")),
        ("IAMA:Me", Login("IAMA:", "me")),
        ("IAMR:role", Login("IAMR:", "role")),
    ],
)
def test_prefixes_of_temporary_credentials_are_split_off(name, login):
    assert Login.parse(name) == login


ROLE = "arn:aws:iam::123456789012:role/path/load"


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (f"iam_role '{ROLE}'", Authorization(roles=(ROLE,))),
        ("iam_role default", Authorization(default=True)),
        ("iam_role 'a,b'", Authorization(roles=("a", "b"))),
        (f"credentials 'aws_iam_role={ROLE}'", Authorization(roles=(ROLE,))),
        ("with credentials as 'aws_access_key_id=a;aws_secret_access_key=b=='",
         Authorization(keys=Keys("a", "b=="))),
        ("access_key_id 'a' secret_access_key 'b' session_token 'c'",
         Authorization(keys=Keys("a", "b", "c"))),
        ("manifest", None),
    ],
)  # fmt: skip
def test_authorization_clauses(clause, expected):
    assert accept_authorization(Cursor(split(clause)[0])) == expected


def test_a_role_is_looked_up_once_and_must_be_exactly_the_one_named(monkeypatch):
    asked: list[str] = []
    roles = Roles(None, "us-east-1", None)

    def lookup(name: str) -> str | None:
        asked.append(name)
        return ROLE if name == "load" else None

    monkeypatch.setattr(roles, "_lookup", lookup)
    for _ in range(2):
        roles._require(ROLE, "me")
    assert asked == ["load"]
    for wrong in (ROLE.replace("123456789012", "000000000000"), ROLE + "2"):
        with pytest.raises(RedshiftError, match="is not authorized to assume IAM Role"):
            roles._require(wrong, "me")
    with pytest.raises(RedshiftError, match="Invalid IAM Role"):
        roles._require("load", "me")


def test_keys_never_show():
    secret = Authorization(keys=Keys("key", "secret-value", "token-value"))
    assert "secret-value" not in repr(secret)
    assert "token-value" not in repr(secret)


def test_an_answer_of_s3_becomes_an_s3_service_exception():
    answer = {
        "Error": {"Code": "SlowDown", "Message": "Please reduce your request rate."},
        "ResponseMetadata": {"HTTPStatusCode": 503, "RequestId": "R1"},
    }
    error = service_error(ClientError(answer, "GetObject"), "s3://b/k")  # type: ignore[arg-type]
    assert error.message == (
        "S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown,Rid R1,"
        "ExtRid R1,CanRetry 1"
    )


@pytest.mark.parametrize("url", ["", "b/k", "s3://", "dynamodb://t", "s3:///k"])
def test_only_s3_addresses_are_sources(url):
    with pytest.raises(RedshiftError, match="LOAD source is not supported"):
        split_url(url)
