"""What all commands share: how they end that cannot do what they were asked, options for kinds of systems, and where tables are printed."""

from typing import TYPE_CHECKING, Any, Literal

import click
from typing_extensions import override

from tranship.errors import ConfigurationError, TranshipError

if TYPE_CHECKING:
    from rich.console import Console

WITHOUT_TERMINAL = 200
"""Columns of a table that goes to a file or a pipe, where nothing wraps but what is read breaks."""


class Refusal(click.ClickException):
    """One of this library's errors as a sentence: exit code 1, no traceback.

    Args:
        error: The error.
    """

    def __init__(self, error: TranshipError):
        super().__init__(f"{error.what} {error.remedy}".strip())


class CommandGroup(click.Group):
    """A group whose commands may raise this library's errors."""

    @override
    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was named.

        Raises:
            Refusal: It raised a `TranshipError`.
        """
        try:
            return super().invoke(ctx)
        except TranshipError as error:
            raise Refusal(error) from None


class SystemKind(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - has them in new versions only
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


def console() -> "Console":
    """Standard output."""
    # Imported here: `--help` must not wait for it.
    from rich.console import Console

    terminal = Console(highlight=False, markup=False, emoji=False)
    return (
        terminal
        if terminal.is_terminal
        else Console(highlight=False, markup=False, emoji=False, width=WITHOUT_TERMINAL)
    )
