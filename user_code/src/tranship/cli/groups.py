"""How commands end that cannot do what they were asked."""

import click
from typing_extensions import override

from tranship.errors import TranshipError


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
