"""Which Arrow types are carried, and what their values are without extension types and dictionaries around them.

Readers and frames check their columns here by name, targets take the plain values: a type nobody knows is
refused, never stored as whatever lies under it.
"""

# pyarrow-stubs leaves types unknown; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

import uuid
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tranship.errors import UnsupportedTypeError

if TYPE_CHECKING:
    ArrowArray = pa.Array[Any]
    ArrowField = pa.Field[Any]
else:
    # Of pyarrow's classes only the stubs take type arguments.
    ArrowArray, ArrowField = pa.Array, pa.Field

# https://arrow.apache.org/docs/format/CanonicalExtensions.html
UUID, JSON, BOOL8 = "arrow.uuid", "arrow.json", "arrow.bool8"
KNOWN_EXTENSIONS = frozenset({UUID, JSON, BOOL8})

_EXTENSION_NAME = b"ARROW:extension:name"
"""Where a field carries the name of an extension type that this process has not registered:
https://arrow.apache.org/docs/format/Columnar.html#extension-types"""
_REMEDIES = {
    "pandas.period": 'Say which moment is meant: frame["{column}"].dt.to_timestamp(), or its text with .astype(str).',
    "pandas.interval": 'Write both ends as columns, or the text with its brackets: frame["{column}"].astype(str).',
}


def check_carried(schema: pa.Schema) -> None:
    """Refuse columns of which nobody knows what their values mean.

    Raises:
        UnsupportedTypeError: A column's type, or one inside of it, is an extension that is not known by name, or a
            struct has two fields of one name.

    Example:
        >>> check_carried(pa.schema([("id", pa.uuid()), ("n", pa.int64())]))
    """
    for field in schema:
        _check(field, field.name)


def _check(field: ArrowField, column: str) -> None:
    stored = (field.metadata or {}).get(_EXTENSION_NAME)
    name = stored.decode() if stored else None
    for type_ in _with_inner(field.type):
        if isinstance(type_, pa.BaseExtensionType):
            name = type_.extension_name
        if name is not None and name not in KNOWN_EXTENSIONS:
            raise UnsupportedTypeError(
                f'The column "{column}" is of the extension type {name}, of which only the storage '
                f"({_storage(type_)}) is known, and not what it means.",
                _REMEDIES.get(
                    name, "Cast it to a plain type that says what is meant before it is returned."
                ).format(column=column),
                details={"column": column, "type": name},
            )
        if pa.types.is_nested(type_):
            _refuse_twins(type_, column)
            for inner in inner_fields(type_):
                _check(inner, column)


def _refuse_twins(type_: pa.DataType, column: str) -> None:
    if not pa.types.is_struct(type_):
        return
    names = [field.name for field in inner_fields(type_)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UnsupportedTypeError(
            f'The column "{column}" holds structs with several fields of one name: {", ".join(map(repr, twice))}.',
            "Rename them: a document keeps one of them only.",
            details={"column": column, "type": str(type_)},
        )


def _with_inner(type_: pa.DataType) -> list[pa.DataType]:
    """A type, and what a dictionary or run-end encoding of it holds."""
    types = [type_]
    while pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        type_ = type_.value_type
        types.append(type_)
    return types


def inner_fields(type_: Any) -> list[ArrowField]:
    """What a nested type holds.

    Example:
        >>> [str(field.type) for field in inner_fields(pa.list_(pa.int8()))]
        ['int8']
    """
    return [type_.field(index) for index in range(type_.num_fields)]


def _storage(type_: pa.DataType) -> pa.DataType:
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def is_uuid(type_: pa.DataType) -> bool:
    """Whether values are UUIDs by their type, in a dictionary or not."""
    inner = _with_inner(type_)[-1]
    return isinstance(inner, pa.BaseExtensionType) and inner.extension_name == UUID


def is_json(type_: pa.DataType) -> bool:
    """Whether texts are JSON by their type, in a dictionary or not."""
    inner = _with_inner(type_)[-1]
    return isinstance(inner, pa.BaseExtensionType) and inner.extension_name == JSON


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type of the values without encoding or known extension around them.

    Example:
        >>> plain_type(pa.dictionary(pa.int8(), pa.string())), plain_type(pa.bool8())
        (DataType(string), DataType(bool))
    """
    inner = _with_inner(type_)[-1]
    if not isinstance(inner, pa.BaseExtensionType):
        return inner
    return pa.bool_() if inner.extension_name == BOOL8 else plain_type(inner.storage_type)


def plain_array(array: ArrowArray) -> ArrowArray:
    """The same values, of `plain_type`."""
    if isinstance(array, pa.RunEndEncodedArray):
        import pyarrow.compute as pc

        return plain_array(pc.call_function("run_end_decode", [array]))
    if isinstance(array, pa.DictionaryArray):
        if isinstance(array.dictionary, pa.ExtensionArray):  # Arrow decodes only plain ones
            plain = plain_array(array.dictionary)
            array = pa.DictionaryArray.from_arrays(array.indices, plain)
        return plain_array(array.dictionary_decode())
    if isinstance(array, pa.ExtensionArray):
        storage = array.storage
        # https://arrow.apache.org/docs/format/CanonicalExtensions.html#bit-boolean: 0 is false, all else true.
        is_bool8 = array.type.extension_name == BOOL8
        return storage.cast(pa.bool_()) if is_bool8 else plain_array(storage)
    return array


def in_words(value: Any) -> str:
    """A value that Python has no object for: its own dates end sooner than Arrow's, and have no nanoseconds.

    Example:
        >>> in_words(pa.scalar(10_000_000, pa.date32()))
        '29349-01-26'
    """
    try:
        return str(value.cast(pa.string()))
    except (pa.ArrowException, ValueError):  # nested, or bytes that are no text
        return f"a value of type {value.type}"


def uuid_texts(array: ArrowArray) -> ArrowArray:
    """UUIDs of 16 bytes in their canonical spelling."""
    return pa.array(
        [None if value is None else str(uuid.UUID(bytes=value)) for value in array.to_pylist()],
        pa.large_string(),
    )


def in_microseconds(type_: Any) -> Any:
    """A nested type whose times count microseconds where they counted nanoseconds.

    What shows such a value as text would drop the finer digits unsaid; a safe cast refuses them.

    Example:
        >>> in_microseconds(pa.list_(pa.time64("ns"))).value_type
        Time64Type(time64[us])
    """
    if pa.types.is_timestamp(type_) and type_.unit == "ns":
        return pa.timestamp("us", type_.tz)
    if pa.types.is_time64(type_) and type_.unit == "ns":
        return pa.time64("us")
    if pa.types.is_duration(type_) and type_.unit == "ns":
        return pa.duration("us")
    if pa.types.is_struct(type_):
        return pa.struct([_retyped(field) for field in inner_fields(type_)])
    if pa.types.is_map(type_):
        key = _retyped(type_.key_field)
        return pa.map_(key, _retyped(type_.item_field), type_.keys_sorted)
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(_retyped(type_.value_field), type_.list_size)
    if pa.types.is_large_list(type_):
        return pa.large_list(_retyped(type_.value_field))
    if pa.types.is_list(type_):
        return pa.list_(_retyped(type_.value_field))
    return type_


def _retyped(field: Any) -> Any:
    return field.with_type(in_microseconds(field.type))


def times_in_microseconds(array: ArrowArray) -> ArrowArray:
    """Nested values with times of microseconds.

    Raises:
        pyarrow.ArrowInvalid: One has finer digits.
    """
    wanted = in_microseconds(array.type)
    if array.type == wanted:
        return array
    # A slice of a list shares all values of the whole, and all of them would be cast.
    return array.take(pa.array(range(len(array)), pa.int64())).cast(wanted)
