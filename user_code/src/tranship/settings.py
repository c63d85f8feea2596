"""A setting, declared once: the frozen settings, Dagster's fields, the variables and the docs are made of it.

The fields of a system are a dataclass of `Annotated[type, Setting(...)]`. Its settings inherit them together with
`Settings`; its resource and IO managers inherit them by way of `tranship.config.config_of`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, TypeVar, cast, get_args, get_origin, get_type_hints

from typing_extensions import override

from tranship.errors import ConfigurationError
from tranship.secret import hide, hides_arguments

_S = TypeVar("_S", bound="Settings")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is to be known of a setting besides its name, which has its unit, its type and its default.

    Args:
        description: What it means, for the docs and Dagster's UI.
        variable: The variable of a deployment that gives it, without the prefix of its system; by default its name in
            capitals.
        secret: Whether nothing may show it.
        needed: Whether an environment has to have that variable.
        unless: Other variables that take the place of this one: where one is set, this one is not needed, and as a secret
            not used.
        read: Makes the value of the variable's text; a `ValueError` says what to give instead. By default as the type of
            the setting asks for: `yes` or `no`, a number, names with commas between, or `key=value` with semicolons between.
    """

    description: str
    variable: str = ""
    secret: bool = False
    needed: bool = False
    unless: tuple[str, ...] = ()
    read: Callable[[str], object] | None = None

    def is_replaced(self, environment: Mapping[str, str], prefix: str) -> bool:
        """Whether a variable is set that takes the place of this one's."""
        return any(environment.get(f"{prefix}{one}") for one in self.unless)

    def value(self, text: str, variable: str) -> object:
        """The value that a variable's text means.

        Raises:
            ConfigurationError: It means none.
        """
        try:
            return self.read(text) if self.read else text
        except ValueError as error:
            raise ConfigurationError(f"{variable} is {text!r}.", f"{error}") from None


@cache
def settings_of(declaration: type) -> Mapping[str, Setting]:
    """The settings that a class declares, by name and in order.

    Example:
        >>> from tranship.postgres.settings import PostgresFields
        >>> settings_of(PostgresFields)["port"].description
        'TCP port.'
    """
    hints = get_type_hints(declaration, include_extras=True)
    settings: dict[str, Setting] = {}
    for field in dataclasses.fields(declaration):
        type_, *about = get_args(hints[field.name])
        setting = next(one for one in about if isinstance(one, Setting))
        settings[field.name] = dataclasses.replace(
            setting,
            variable=setting.variable or field.name.upper(),
            read=setting.read or _reader_of(type_),
        )
    return settings


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
            variable = f"{prefix}{setting.variable}"
            replaced = setting.is_replaced(environment, prefix)
            if name in given or (replaced and setting.secret):
                continue
            if text := environment.get(variable):
                values[name] = setting.value(text, variable)
            elif setting.needed and not replaced:
                missing.append(variable)
        if missing:
            raise ConfigurationError(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
                f"Set what is missing{f', or give {instead}' if instead else ''}.",
            )
        return _made(cls, **{**cls.of_deployment(environment, prefix), **values})

    @classmethod
    def of_deployment(cls, environment: Mapping[str, str], prefix: str) -> dict[str, object]:  # noqa: ARG003 - for systems
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
    """Whether a variable says yes.

    Raises:
        ValueError: It says neither yes nor no.
    """
    if text not in {"yes", "no"}:
        raise ValueError("Give yes or no.")
    return text == "yes"


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("Give a whole number.")
    return int(text)


def _number(text: str) -> float:
    whole, _, fraction = text.partition(".")
    return float(f"{_whole_number(whole)}.{_whole_number(fraction or '0')}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pairs(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    if any(not (key.strip() and equals) for key, equals, _ in pairs):
        raise ValueError("Give key=value, with semicolons between.")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _sizes(text: str) -> dict[str, int]:
    return {key: _whole_number(value) for key, value in _pairs(text).items()}


_READERS: dict[Any, Callable[[str], object]] = {
    bool: is_yes,
    int: _whole_number,
    float: _number,
    Sequence[str]: _names,
    Mapping[str, str]: _pairs,
    Mapping[str, int]: _sizes,
}


def _reader_of(type_: Any) -> Callable[[str], object] | None:
    """What makes a setting's value of a text; nothing where it is a text."""
    if type_ is str or type_ == (str | None):
        return None
    if type_ not in _READERS:
        raise TypeError(
            f"{get_origin(type_) or type_} has no form in an environment: give its Setting a `read`."
        )
    return _READERS[type_]


def _made(settings: type[_S], **values: object) -> _S:
    return cast("Callable[..., _S]", settings)(**values)
