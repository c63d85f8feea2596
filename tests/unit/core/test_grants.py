"""Grants as errors print them: quoted, with the schema, and no more than is missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.grants import missing_grant, quoted

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1)


def printed(said, *, reading=False, creating=False, schema="dwh"):
    return missing_grant(said, user="etl", schema=schema, reading=reading, creating=creating)


@pytest.mark.parametrize(
    ("said", "settings", "expected"),
    [
        ("permission denied for schema mart", {}, 'grant usage on schema "mart" to "etl"'),
        ("permission denied for schema mart", {"creating": True}, 'grant usage, create on schema "mart" to "etl"'),
        ("permission denied for database dev", {}, 'grant create on database "dev" to "etl"'),
        ("permission denied for relation fact", {}, 'grant select, insert, update, delete on table "dwh"."fact" to "etl"'),
        ("permission denied for view v", {"reading": True}, 'grant select on table "dwh"."v" to "etl"'),
        ("permission denied for materialized view v", {"reading": True}, 'grant select on table "dwh"."v" to "etl"'),
        ("permission denied for sequence s", {}, 'grant usage on sequence "dwh"."s" to "etl"'),
        ("permission denied for table t", {"schema": None}, 'grant select, insert, update, delete on table "t" to "etl"'),
        ('permission denied to create temporary tables in database "dev"', {}, 'grant temporary on database "dev" to "etl"'),
        ("must be owner of table t", {}, 'alter table "dwh"."t" owner to "etl"'),
        ("must be owner of relation t", {}, 'alter table "dwh"."t" owner to "etl"'),
        ("permission denied to create role", {}, None),
        ("division by zero", {}, None),
    ],
)  # fmt: skip
def test_each_right_has_its_statement(said, settings, expected):
    assert printed(said, **settings) == expected


@given(NAMES)
def test_any_name_is_quoted_whole(name):
    statement = printed(f"permission denied for table a{name}z")
    assert statement == (
        f'grant select, insert, update, delete on table "dwh".{quoted(f"a{name}z")} to "etl"'
    )
