"""The job of a measured program, from its environment; needs nothing but Python."""

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SCHEMA = "bench"


@dataclass(frozen=True, slots=True)
class Job:
    """What the program is to do; `bench.peers.Job` says what the fields mean."""

    source: str
    table: str
    target: str
    target_table: str
    file: str
    directory: str
    settings: dict[str, Any]

    @property
    def dsn(self) -> str:
        """The target as libpq takes it."""
        return re.sub(r"^(postgresql(\+psycopg2)?|redshift)://", "postgresql://", self.target)

    @property
    def pymssql(self) -> str:
        """The source as SQLAlchemy's pymssql dialect takes it."""
        return re.sub(r"^[^:]+://", "mssql+pymssql://", self.source.partition("?")[0])


def run(*functions: Callable[[Job], None]) -> None:
    """Run the function that the command line names."""
    named = {function.__name__: function for function in functions}
    named[sys.argv[1]](Job(**json.loads(os.environ["TRANSHIP_BENCH_JOB"])))
