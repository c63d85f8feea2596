"""A setting, declared once: the frozen settings, Dagster's fields, the variables and the docs are made of it.

The fields of a system are a dataclass of `Annotated[type, Setting(...)]`. Its settings inherit them together with
`Settings`; its resource and IO managers inherit them by way of `tranship.config.config_of`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Self, TypeVar, cast, get_type_hints

from typing_extensions import override

from tranship.errors import ConfigurationError
from tranship.secret import hide, hides_arguments

_S = TypeVar("_S", bound="Settings")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is to be known of a setting besides its name, which has its unit, its type and its default.

    Args:
        description: What it means, for the docs and Dagster's UI.
        variable: The variable of a deployment that gives it, without the prefix of its system.
        secret: Whether nothing may show it.
        needed: Whether an environment has to have that variable.
        unless: Another variable that takes the place of this one.
        read: Makes the value of the variable's text; a `ValueError` says what to give instead.
    """

    description: str
    variable: str | None = None
    secret: bool = False
    needed: bool = False
    unless: str | None = None
    read: Callable[[str], object] = str


@cache
def settings_of(declaration: type) -> Mapping[str, Setting]:
    """The settings that a class declares, by name and in order.

    Example:
        >>> from tranship.postgres.settings import PostgresFields
        >>> settings_of(PostgresFields)["port"].description
        'TCP port.'
    """
    hints = get_type_hints(declaration, include_extras=True)
    return {
        field.name: next(one for one in hints[field.name].__metadata__ if isinstance(one, Setting))
        for field in dataclasses.fields(declaration)
    }


class Settings:
    """What the settings of every system have in common: they show no secret, and a deployment's variables give them."""

    def __post_init__(self) -> None:
        declared = settings_of(type(self)).items()
        hide(self, *(name for name, setting in declared if setting.secret))

    @override
    def __repr__(self) -> str:
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name, setting in settings_of(type(self)).items()
            if not setting.secret
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def of(cls, config: object) -> Self:
        """The settings that an object has as attributes, such as a resource of Dagster's.

        Raises:
            ConfigurationError: They contradict each other.
        """
        return _made(cls, **{name: getattr(config, name) for name in settings_of(cls)})

    @classmethod
    @hides_arguments
    def from_environment(
        cls, environment: Mapping[str, str], prefix: str, *, instead: str = "", **given: object
    ) -> Self:
        """The settings that a deployment's variables give.

        Args:
            environment: The variables. An empty one counts as not set.
            prefix: What stands before the names of these settings, such as `TRANSHIP_POSTGRES_`.
            instead: What would do instead of the variables, for the message where some are missing.
            given: Settings that the variables need not give, by name.

        Raises:
            ConfigurationError: A variable is missing, all of which the message names, or cannot be used.

        Example:
            >>> from tranship.postgres.settings import PostgresSettings
            >>> PostgresSettings.from_environment({"X_HOST": "db"}, "X_", database="dw", user="etl", password="p").host
            'db'
        """
        values, missing = dict(given), list[str]()
        for name, setting in settings_of(cls).items():
            unless = environment.get(f"{prefix}{setting.unless}") if setting.unless else None
            if setting.variable is None or name in given or unless:
                continue
            if text := environment.get(f"{prefix}{setting.variable}"):
                values[name] = _read(setting, f"{prefix}{setting.variable}", text)
            elif setting.needed:
                missing.append(f"{prefix}{setting.variable}")
        if missing:
            raise ConfigurationError(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
                f"Set what is missing{f', or give {instead}' if instead else ''}.",
            )
        return _made(cls, **{**cls._of_deployment(environment, prefix), **values})

    @classmethod
    def _of_deployment(cls, environment: Mapping[str, str], prefix: str) -> dict[str, object]:  # noqa: ARG003 - for systems
        """What other variables of a deployment say of these settings, where the settings' own are silent."""
        return {}


def tcp_port(text: str) -> int:
    """The TCP port that a variable names.

    Raises:
        ValueError: It is none.
    """
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError("Give a TCP port: 1 to 65535.")
    return int(text)


def is_yes(text: str) -> bool:
    """Whether a variable says yes."""
    return text == "yes"


def _made(settings: type[_S], **values: object) -> _S:
    return cast("Callable[..., _S]", settings)(**values)


def _read(setting: Setting, variable: str, text: str) -> object:
    try:
        return setting.read(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable} is {text!r}.", f"{error}") from None
