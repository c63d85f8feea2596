"""What `dg scaffold defs tranship.replication.ReplicationComponent NAME` writes: a file that loads as it is."""

import dagster as dg
from pydantic import BaseModel, Field
from typing_extensions import override

from tranship.errors import ConfigurationError

_FILE = """\
type: {type}

attributes:
  source: {source} # key of the SqlServerResource to read from
  target: {target} # key of the PostgresResource or RedshiftResource to write to
  target_schema: {target_schema}

  defaults:
    schedule: "@daily"

  tables:
    # Every setting of a table is described by `dg utils inspect-component {type}`.
    - table: {tables} # a name, or a pattern: all tables that match when the code location is loaded
"""


class ReplicationParameters(BaseModel):
    """What may be said on the command line; the file can be changed afterwards."""

    source: str = Field(
        default="sqlserver", description="Key of the SqlServerResource to read from."
    )
    target: str = Field(
        default="postgres",
        description="Key of the PostgresResource or RedshiftResource to write to.",
    )
    target_schema: str = Field(default="staging", description="Schema of the copies.")
    tables: str = Field(
        default="dbo.*", description="A table or a pattern: sales.Orders, dbo.Dim*."
    )


class ReplicationScaffolder(dg.Scaffolder[ReplicationParameters]):
    """Writes a replication's `defs.yaml` with the comments a first reader needs."""

    @classmethod
    @override
    def get_scaffold_params(cls) -> type[ReplicationParameters]:
        return ReplicationParameters

    @override
    def scaffold(self, request: dg.ScaffoldRequest[ReplicationParameters]) -> None:
        """Write the file.

        Raises:
            ConfigurationError: Another format than YAML was asked for.
        """
        if request.scaffold_format != "yaml":
            raise ConfigurationError(
                "A replication is described by a YAML file; none is written in Python.",
                "Leave out --format, or construct ReplicationComponent in a Python file of your own.",
            )
        text = _FILE.format(type=request.type_name, **_quoted(request.params))
        if request.append:
            with request.target_path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}")
        else:
            (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


def _quoted(parameters: ReplicationParameters) -> dict[str, str]:
    """The values as YAML texts: a pattern may begin with a character that means something to YAML."""
    return {
        name: value if value.replace("_", "").isalnum() else f'"{value}"'
        for name, value in parameters.model_dump().items()
    }
