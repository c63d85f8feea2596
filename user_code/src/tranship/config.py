"""Dagster's configuration of what `tranship.settings` declares: its fields, which take an `EnvVar` too."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import dagster as dg
from pydantic import AfterValidator, ConfigDict, Field, create_model

from tranship.secret import Secret, hides_arguments
from tranship.settings import Settings, settings_of

_T = TypeVar("_T")

# Dagster knows the classes, not the protocols that they fulfil.
_CONTAINERS: dict[Any, Any] = {Mapping: dict, Sequence: list}


class _QuietConfig(dg.Config):
    """Configuration whose refusals do not show the values that were given."""

    model_config = ConfigDict(hide_input_in_errors=True)

    if not TYPE_CHECKING:  # the constructor that type checkers see is made of the fields

        @hides_arguments
        def __init__(self, **values: Any) -> None:
            super().__init__(**values)


def config_of(declaration: type[_T]) -> type[_T]:
    """The configuration that has the fields of a declaration, with their defaults and descriptions.

    To a type checker it is the declaration itself; in fact it is a `dagster.Config` with the same fields.

    Args:
        declaration: A dataclass whose fields are `Annotated[type, Setting(...)]`.

    Example:
        >>> from tranship.postgres.settings import PostgresFields
        >>> class Warehouse(config_of(PostgresFields), dg.ConfigurableResource): ...
        >>> Warehouse(host="db", database="dw", user="etl").port
        5432
    """
    hints = get_type_hints(declaration)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cast("Any", declaration)):
        setting = settings_of(declaration)[field.name]
        about = {"description": setting.description, "repr": not setting.secret}
        fields[field.name] = (
            _type(hints[field.name], secret=setting.secret),
            Field(**about, **_default(field)),
        )
    made = create_model(
        declaration.__name__, __base__=_QuietConfig, __module__=declaration.__module__, **fields
    )
    return cast("type[_T]", made)


def of_environment(
    settings: type[Settings], environment: Mapping[str, str], prefix: str, **given: Any
) -> dict[str, Any]:
    """The configuration that a deployment's variables give: every setting that one of them has.

    Where a system is and who we are there stay names of variables (`EnvVar`): they may be set later, and Dagster's UI
    shows names, not values. A secret is never anything else.

    Args:
        settings: The settings of the system.
        environment: The variables. An empty one counts as not set.
        prefix: What stands before their names, such as `TRANSHIP_POSTGRES_`.
        given: Settings that the variables need not give, by name.

    Raises:
        ConfigurationError: A variable has no value that can be used.

    Example:
        >>> from tranship.postgres.settings import PostgresSettings
        >>> environment = {"X_PASSWORD": "hunter2", "X_LOCK_WAIT_SECONDS": "60"}
        >>> made = of_environment(PostgresSettings, environment, "X_", host="db")
        >>> made["host"], made["lock_wait_seconds"], made["password"].env_var_name
        ('db', 60.0, 'X_PASSWORD')
    """
    values: dict[str, Any] = {**settings.of_deployment(environment, prefix)}
    for name, setting in settings_of(settings).items():
        variable = f"{prefix}{setting.variable}"
        if setting.is_replaced(environment, prefix) and (
            setting.secret or not environment.get(variable)
        ):
            continue
        if setting.secret or (setting.needed and setting.read is None):
            values[name] = dg.EnvVar(variable)
        elif text := environment.get(variable):
            values[name] = setting.value(text, variable)
    return {**values, **given}


def _type(hint: Any, *, secret: bool) -> Any:
    container = _CONTAINERS.get(get_origin(hint))
    type_ = hint if container is None else container[get_args(hint)]
    return Annotated[type_, AfterValidator(_hidden)] if secret else type_


def _default(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    if field.default_factory is not dataclasses.MISSING:
        return {"default": field.default_factory()}  # pydantic gives each its own copy
    if field.default is dataclasses.MISSING:
        return {}
    # What Dagster takes for a list's default is a list.
    return {"default": [] if field.default == () else field.default}


def _hidden(value: str | None) -> str | None:
    return None if value is None else Secret(value)
