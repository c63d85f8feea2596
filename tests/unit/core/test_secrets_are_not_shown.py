"""No class of the library shows a secret: in its `repr`, a dictionary of it, a refusal, or a traceback with local variables."""

import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
import pytest

import tranship
from tranship.alerts.mail import EmailChannel, OAuth2
from tranship.alerts.settings import AlertSettings
from tranship.alerts.webhooks import SlackChannel, TeamsChannel, Webhook
from tranship.postgres.io_manager import PostgresIOManager
from tranship.postgres.resource import PostgresResource
from tranship.postgres.settings import PostgresSettings
from tranship.redshift.config import RedshiftConfig
from tranship.redshift.credentials import CredentialsSource, DatabaseCredentials
from tranship.redshift.settings import RedshiftSettings
from tranship.replication.component import ReplicationComponent
from tranship.secret import Secret, hides_arguments
from tranship.sqlserver.resource import SqlServerResource
from tranship.sqlserver.settings import SqlServerSettings

MARK = "s3cr3t-of-the-test"
SECRET = re.compile(
    r"passw(or)?d|passwd|secret(?!s$)|token$|^url$|_url$|webhook|api_key|mask_key|private|variables$"
)
NO_SECRET = {
    # Addresses without anything that lets one in.
    "ui_url", "token_url", "s3_endpoint_url", "aws_endpoint_url", "prefix_url",
    # A page of the UI, and a file in the bucket that only its credentials open.
    "tranship.alerts.incidents.Link.url", "tranship.redshift.uploads.StagedFile.url",
    # Whether a setting is one.
    "tranship.settings.Setting.secret",
    # What a request for loads is known by.
    "tranship.replication.changes_sensor.RequestedLoad.token",
}  # fmt: skip


def classes() -> Iterator[type]:
    """Every class of the library that is written with its fields."""
    for module_info in pkgutil.walk_packages(tranship.__path__, "tranship."):
        if module_info.name.endswith("__main__"):
            continue
        module = importlib.import_module(module_info.name)
        for one in vars(module).values():
            if isinstance(one, type) and one.__module__ == module.__name__:
                yield one


def fields_of(one: type) -> list[str]:
    if dataclasses.is_dataclass(one):
        return [field.name for field in dataclasses.fields(one)]
    if issubclass(one, pydantic.BaseModel):
        return list(one.model_fields)
    return []


def secret_fields(one: type) -> list[str]:
    return [
        name
        for name in fields_of(one)
        if SECRET.search(name)
        and name not in NO_SECRET
        and f"{one.__module__}.{one.__qualname__}.{name}" not in NO_SECRET
    ]


def shown(one: type) -> str:
    """What `repr` gives of an instance whose every field holds the mark."""
    values: dict[str, Any] = dict.fromkeys(fields_of(one), "plain")
    values |= dict.fromkeys(secret_fields(one), MARK)
    if dataclasses.is_dataclass(one):
        made = object.__new__(one)
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return repr(made)
    made = one.model_construct(**values)  # pyright: ignore[reportAttributeAccessIssue]
    return repr(made) + str(made)


WITH_SECRETS = sorted(
    (one for one in classes() if secret_fields(one)), key=lambda one: one.__qualname__
)


def test_the_walk_finds_the_classes_that_have_secrets() -> None:
    names = {one.__qualname__ for one in WITH_SECRETS}
    assert {
        "PostgresResource",
        "PostgresSettings",
        "SqlServerResource",
        "SqlServerSettings",
        "RedshiftResource",
        "RedshiftIOManager",
        "RedshiftSettings",
        "EmailChannel",
        "OAuth2",
        "SlackChannel",
        "ReplicationComponent",
    } <= names


@pytest.mark.parametrize(
    "one", WITH_SECRETS, ids=lambda one: f"{one.__module__}.{one.__qualname__}"
)
def test_no_class_shows_a_secret(one: type) -> None:
    assert MARK not in shown(one)


# ---- made with a secret, in all the ways that their fields are shown ----

SERVER: dict[str, Any] = {"host": "127.0.0.1", "database": "dw", "user": "etl", "password": MARK}
BUCKET: dict[str, Any] = {"bucket_name": "b", "s3_iam_role": "default"}
WEBHOOK: dict[str, Any] = {"url": f"https://127.0.0.1/{MARK}"}
MAIL = {"host": "127.0.0.1", "sender": "a@b", "recipients": ("a@b",), "user": "a", "password": MARK}
OAUTH = {"token_url": "https://h", "client_id": "c", "client_secret": MARK, "refresh_token": MARK}
ALERTS = {
    "TRANSHIP_ALERT_SLACK_WEBHOOK": f"https://127.0.0.1/{MARK}",
    "TRANSHIP_ALERT_TEAMS_WEBHOOK": f"https://127.0.0.1/{MARK}",
    "TRANSHIP_ALERT_SMTP_HOST": "h",
    "TRANSHIP_ALERT_SMTP_PASSWORD": MARK,
    "TRANSHIP_ALERT_SMTP_OAUTH_CLIENT_SECRET": MARK,
    "TRANSHIP_ALERT_SMTP_OAUTH_REFRESH_TOKEN": MARK,
}
SOURCE_URL = f"mssql+mssqlpython://u:{MARK}@db/d"

MADE_OF: dict[type, dict[str, Any]] = {
    AlertSettings: {"variables": ALERTS},
    DatabaseCredentials: {"user": "u", "password": MARK},
    EmailChannel: MAIL,
    OAuth2: OAUTH,
    PostgresResource: SERVER,
    PostgresSettings: SERVER,
    ReplicationComponent: {"source_url": SOURCE_URL, "tables": []},
    SlackChannel: WEBHOOK,
    SqlServerResource: SERVER,
    SqlServerSettings: SERVER,
    TeamsChannel: WEBHOOK,
    Webhook: WEBHOOK | {"name": "Other"},
} | {
    one: SERVER | BUCKET
    for one in WITH_SECRETS
    if issubclass(one, RedshiftConfig | RedshiftSettings)
}
"""What makes each class; the keys of masks stay inside of a load, and declarations have no values."""

REFUSED: list[tuple[type, dict[str, Any]]] = [
    (AlertSettings, {"nonsense": 1}),
    (EmailChannel, {"recipients": ()}),
    (EmailChannel, {"security": "none"}),
    (OAuth2, {"token_url": "http://elsewhere"}),
    (PostgresResource, {"port": "x"}),
    (PostgresResource, {"user": None}),
    (PostgresSettings, {"sslmode": "x"}),
    (PostgresSettings, {"nonsense": 1}),
    (ReplicationComponent, {"tables": 3}),
    (ReplicationComponent, {"nonsense": 1}),
    (SlackChannel, {"url": f"ftp://h/{MARK}"}),
    (SqlServerResource, {"driver_keywords": 3}),
    (SqlServerSettings, {"host": ""}),
    (SqlServerSettings, {"encrypt": "perhaps"}),
    (TeamsChannel, {"url": MARK}),
    (tranship.RedshiftIOManager, {"mode": "x"}),
    (tranship.RedshiftResource, {"attempts": "many"}),
    (RedshiftSettings, {"compression": "x"}),
    (RedshiftSettings, {"user": None}),
]


class Call:
    """A call whose own frame shows nothing, so that only the library's can."""

    def __init__(self, function: Callable[..., Any], /, *given: Any, **values: Any) -> None:
        self._function, self._given, self._values = function, given, values

    def __call__(self) -> Any:
        return self._function(*self._given, **self._values)


def texts_of(error: BaseException) -> str:
    """All that a report on an error can show: its chain, and the local variables of every frame."""
    chain = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join((*chain.format(), str(error), repr(error), repr(vars(error))))


def refusal(call: Call) -> str:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - of whichever class: what matters is what it shows
        return texts_of(error)
    raise AssertionError("nothing was refused")


def test_every_class_with_a_secret_is_made_here() -> None:
    declarations = {one for one in WITH_SECRETS if one.__qualname__.endswith("Fields")}
    masks = {one for one in WITH_SECRETS if secret_fields(one) == ["mask_key"]}
    assert set(WITH_SECRETS) - declarations - masks == set(MADE_OF)


@pytest.mark.parametrize("one", MADE_OF, ids=lambda one: one.__qualname__)
def test_no_form_of_a_value_shows_its_secret(one: type) -> None:
    made = one(**MADE_OF[one])
    # What Dagster keeps of a resource cannot be unpickled.
    of_dagster = hasattr(made, "get_resource_definition")
    copy = made if of_dagster else pickle.loads(pickle.dumps(made))
    for value in (made, copy):
        shown = [repr(value), str(value), f"{value}", f"{[value]}"]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            shown += [repr(dataclasses.asdict(value)), repr(dataclasses.astuple(value))]
        if isinstance(value, pydantic.BaseModel):
            shown += [repr(value.model_dump()), repr(dict(value)), repr(vars(value))]
        assert MARK not in "".join(shown)
    for name in secret_fields(one):
        assert MARK in str(getattr(copy, name)) or one is AlertSettings, (
            "the secret itself is there"
        )


@pytest.mark.parametrize(("one", "wrong"), REFUSED, ids=str)
def test_no_refusal_shows_a_secret(one: type, wrong: dict[str, Any]) -> None:
    assert MARK not in refusal(Call(one, **{**MADE_OF[one], **wrong}))


@pytest.mark.parametrize(
    ("one", "wrong"),
    [
        (PostgresResource, {"answer_timeout_seconds": -1}),
        (SqlServerResource, {"encrypt": "perhaps"}),
        (tranship.RedshiftResource, {"compression": "x"}),
        (tranship.RedshiftIOManager, {"write_lock": "x"}),
    ],
)
def test_no_refusal_of_a_resources_settings_shows_a_secret(one: Any, wrong: dict[str, Any]) -> None:
    resource = one(**{**MADE_OF[one], **wrong})
    assert MARK not in refusal(Call(resource.settings))


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (SqlServerSettings, f"mssql+mssqlpython://u:{MARK}@db:port/d"),
        (SqlServerSettings, f"mssql+mssqlpython://u:{MARK}@db/d?Encrypt=perhaps"),
        (SqlServerSettings, MARK),
        (PostgresSettings, f"postgresql://u:{MARK}@db:port/d"),
        (PostgresSettings, f"postgresql://u:{MARK}@db/d?nonsense=1"),
        (PostgresSettings, f"postgresql://u:{MARK}@db/d?connect_timeout=x"),
        (PostgresSettings, f"oracle://u:{MARK}@db/d"),
    ],
)
def test_no_refused_url_shows_its_secret(settings: Any, url: str) -> None:
    assert MARK not in refusal(Call(settings.from_url, url))


@pytest.mark.parametrize("settings", [PostgresSettings, RedshiftSettings, SqlServerSettings])
def test_no_refused_environment_shows_its_secrets(settings: Any) -> None:
    environment = {"X_PASSWORD": MARK, "X_HOST": "h", "OTHER_TOKEN": MARK}
    assert MARK not in refusal(Call(settings.from_environment, environment, "X_"))
    whole = environment | {
        "X_USER": "u",
        "X_DATABASE": "d",
        "X_IAM_ROLE": "r",
        "X_STAGING_URI": "b",
    }
    assert MARK not in refusal(Call(settings.from_environment, {**whole, "X_PORT": "x"}, "X_"))


def test_no_refused_channel_shows_its_secrets() -> None:
    assert MARK not in refusal(Call(AlertSettings.from_environment(ALERTS).channels))
    named = ALERTS | {"TRANSHIP_ALERT_SMTP_TO": "a@b", "TRANSHIP_ALERT_SMTP_FROM": "a@b"}
    assert MARK not in refusal(Call(AlertSettings.from_environment(named).channels))
    assert "TRANSHIP_ALERT_CHANNELS is 'nowhere:f'" in refusal(
        Call(AlertSettings.from_environment({"TRANSHIP_ALERT_CHANNELS": "nowhere:f"}).channels)
    )


@pytest.mark.parametrize(
    "resource", [PostgresResource, SqlServerResource, tranship.RedshiftResource]
)
def test_no_failed_connection_shows_a_secret(resource: Any) -> None:
    made = resource(**{**MADE_OF[resource], "port": 1})

    def connect() -> None:
        with made.connect():
            raise AssertionError("nothing listens there")

    told = refusal(Call(connect))
    assert "127.0.0.1:1" in told
    assert MARK not in told


def test_no_fetched_password_is_shown() -> None:
    source = CredentialsSource(RedshiftSettings(**SERVER, **BUCKET))
    assert source.get().password == MARK
    assert MARK not in repr(source) + repr(vars(source)) + repr(dataclasses.asdict(source.get()))


def test_an_io_manager_does_not_show_the_secret_of_its_resource() -> None:
    manager = PostgresIOManager(postgres=PostgresResource(**SERVER))
    assert MARK not in repr(manager) + str(manager) + repr(dict(manager)) + repr(vars(manager))


# ---- the two means ----


def test_a_secret_is_a_text_that_is_not_shown() -> None:
    secret = Secret(MARK)
    assert (secret == MARK, f"{secret}", str(secret)) == (True, MARK, MARK)
    assert repr([secret]) == "['***']"
    assert type(pickle.loads(pickle.dumps(secret))) is Secret


def test_a_call_that_hides_its_arguments_keeps_its_error_and_signature() -> None:
    @hides_arguments
    def divide(number: int, by: int) -> float:
        """Divide."""
        return number / by

    assert divide(6, by=3) == 2
    assert (divide.__doc__, list(inspect.signature(divide).parameters)) == (
        "Divide.",
        ["number", "by"],
    )
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        divide(6, by=0)
    assert caught.value.__context__ is None
    frames = [one.name for one in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[1:] == ["call"]
