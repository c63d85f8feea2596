"""Options whose value is a kind of system: any that `tranship.systems` lists, also one that a package of somebody else's adds."""

from typing import Any, Literal

import click
from typing_extensions import override

from tranship.errors import ConfigurationError


class SystemKind(click.ParamType):
    """The kind of a system that tables are copied from, or to.

    Args:
        role: Which of the two it must be able to be.
    """

    name = "system"

    def __init__(self, role: Literal["source", "target"]) -> None:
        self._role = role

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # Imported here: `--help` must not wait for what a system needs.
        from tranship.systems import SourceSystem, TargetSystem, system_as

        try:
            if self._role == "source":
                system_as(value, SourceSystem)
            else:
                system_as(value, TargetSystem)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
        return value
