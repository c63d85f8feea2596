"""Errors tell what happened and what to do, and never a secret."""

import pickle
from urllib.parse import quote, quote_plus

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.errors import (
    ColumnDrift,
    SchemaDriftError,
    TranshipError,
    TransientError,
    UnreachableError,
    redact,
)
from tranship.failures import as_failure, as_failures


def test_an_error_reads_as_what_happened_and_what_to_do():
    error = TranshipError("No table dbo.A.", "Check the spelling.", details={"table": "dbo.A"})

    assert str(error) == "No table dbo.A. Check the spelling."
    assert (error.what, error.remedy) == ("No table dbo.A.", "Check the spelling.")
    assert error.details == {"table": "dbo.A"}
    assert str(TranshipError("Lost.")) == "Lost."


DRIFTS = [
    ColumnDrift("Size", "text", "integer"),
    ColumnDrift("Color", "text", None),
    ColumnDrift("Weight", None, "numeric(9,2)"),
]


def test_drift_names_each_column_with_its_type_here_and_there():
    error = SchemaDriftError("public.stg_a", DRIFTS, "Set on_schema_change to evolve.")

    assert str(error) == (
        'The schema of public.stg_a has drifted: "Size" is text in the incoming rows and integer '
        'in the table; "Color" (text) is new: the table has no such column; "Weight" '
        "(numeric(9,2)) is missing from the incoming rows. Set on_schema_change to evolve."
    )
    assert error.drifts == tuple(DRIFTS)
    assert set(error.details) == {"drift: Size", "drift: Color", "drift: Weight"}


@pytest.mark.parametrize(
    "error",
    [
        TranshipError("What.", "Remedy.", details={"row": 7}),
        UnreachableError("What."),
        SchemaDriftError("public.a", DRIFTS, "Remedy."),
    ],
)
def test_an_error_survives_the_way_to_another_process(error: TranshipError):
    copied = pickle.loads(pickle.dumps(error))

    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="<>*"), min_size=3, max_size=12)


SPELLINGS = [
    str,
    quote,
    quote_plus,
    lambda secret: quote(secret, safe=""),
    lambda secret: secret.replace("}", "}}"),
]


@given(secret=SECRETS, write=st.sampled_from(SPELLINGS))
def test_a_secret_is_hidden_however_a_driver_spells_it(secret: str, write):
    assert redact(f"<{write(secret)}>", [None, "", secret]) == "<***>"


def test_a_secret_that_holds_another_one_is_hidden_whole():
    assert redact("PWD=hunter2;", ["hunter", "hunter2"]) == "PWD=***;"


def test_a_text_without_secrets_stays_as_it_is():
    assert redact("login failed", ["hunter2", None, ""]) == "login failed"


@pytest.mark.parametrize(
    ("error", "retried"), [(TranshipError("Lost."), False), (TransientError("Lost."), True)]
)
def test_only_a_fault_that_passes_lets_a_step_be_retried(error: TranshipError, retried: bool):
    assert as_failure(error).allow_retries is retried


def test_a_failure_tells_what_to_do_and_shows_the_facts():
    error = TransientError("Lost.", "Try again.", details={"row": 7, "column": "Size"})

    failure = as_failure(error)

    assert failure.description == "Lost. Try again."
    assert {name: entry.value for name, entry in failure.metadata.items()} == {
        "error": "TransientError",
        "row": "7",
        "column": "Size",
    }


def test_an_error_leaves_as_a_failure_that_keeps_its_cause():
    error = TranshipError("Lost.")

    with pytest.raises(dg.Failure) as failed, as_failures():
        raise error

    assert failed.value.__cause__ is error


def test_a_foreign_error_leaves_as_it_is():
    with pytest.raises(ZeroDivisionError, match="mine"), as_failures():
        raise ZeroDivisionError("mine")
