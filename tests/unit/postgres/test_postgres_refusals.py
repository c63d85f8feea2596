"""What the driver says when no connection is made, in words that help."""

import psycopg2
import pytest

from tranship.errors import ConnectionFailedError, TranshipError, TransientError, UnreachableError
from tranship.postgres.faults import refused
from tranship.postgres.settings import PostgresSettings

SETTINGS = PostgresSettings(host="db", database="ware", user="etl", password="hunter2")


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ('FATAL:  password authentication failed for user "etl"', ConnectionFailedError, "refused the password of user 'etl'"),
        ('FATAL:  role "etl" does not exist', ConnectionFailedError, "no role 'etl'"),
        ('FATAL:  database "ware" does not exist', ConnectionFailedError, "no database 'ware'"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', ConnectionFailedError, "entry in pg_hba.conf"),
        ("server does not support SSL, but SSL was required", ConnectionFailedError, "does not encrypt"),
        ("SSL error: certificate verify failed", ConnectionFailedError, "could not be verified"),
        ("FATAL:  sorry, too many clients already", TransientError, "no connection left"),
        ("FATAL:  remaining connection slots are reserved for roles", TransientError, "no connection left"),
        ("Connection refused\n\tIs the server running?", UnreachableError, "did not answer at db:5432"),
        ('could not translate host name "db" to address', UnreachableError, "did not answer"),
        ("timeout expired", UnreachableError, "did not answer"),
        ("FATAL:  the database system is starting up", UnreachableError, "did not answer"),
        ("something new: password=hunter2", ConnectionFailedError, r"something new: password=\*\*\*"),
    ],
)  # fmt: skip
def test_each_refusal_has_its_own_words(said: str, kind: type[TranshipError], words: str) -> None:
    error = refused(psycopg2.OperationalError(said), SETTINGS)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error
    assert "hunter2" not in str(error)
