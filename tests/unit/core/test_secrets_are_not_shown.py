"""No class of the library shows a secret in its `repr`, whichever field holds it."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

import tranship

MARK = "s3cr3t-of-the-test"
SECRET = re.compile(
    r"passw(or)?d|passwd|secret(?!s$)|token$|^url$|_url$|webhook|api_key|mask_key|private|variables$"
)
NO_SECRET = {
    # Addresses without anything that lets one in.
    "ui_url", "token_url", "s3_endpoint_url", "aws_endpoint_url", "prefix_url",
    # A page of the UI, and a file in the bucket that only its credentials open.
    "tranship.alerts.incidents.Link.url", "tranship.redshift.staging.StagedFile.url",
    # Whether a setting is one.
    "tranship.settings.Setting.secret",
    # What a request for loads is known by.
    "tranship.replication.marks.Asked.token",
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
