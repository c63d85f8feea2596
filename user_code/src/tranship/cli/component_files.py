"""Checks the component files of a folder, each with all its documents: what is wrong, in which file and line.

`dg check yaml` looks at one file of each component type, the last it finds. This looks at all of them, and at what no schema says: settings
that contradict each other, and tables of two files that would be copied to one.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import dagster as dg
import yaml
from dagster_shared.yaml_utils import parse_yamls_with_source_position
from dagster_shared.yaml_utils.source_position import KeyPathSegment, SourcePositionTree
from pydantic import BaseModel, ValidationError

from tranship.errors import ConfigurationError, TranshipError
from tranship.replication.component import ReplicationComponent
from tranship.tables import TableName

NAMES = ("defs.yaml", "defs.yml", "component.yaml")
_LEFT_OUT = {"node_modules", "__pycache__", "site-packages"}
_ATTRIBUTES = "attributes"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Something wrong in a component file.

    Args:
        path: The file.
        line: Where in it.
        message: What is wrong.
    """

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        """As editors and terminals take it: `defs/sales/defs.yaml:12: ...`."""
        return f"{self.path}:{self.line}: {self.message}"


def component_files(folder: Path) -> list[Path]:
    """The component files of a folder and the folders in it, hidden ones left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name in NAMES and path.is_file() and not _is_left_out(path.relative_to(folder))
    )


def _is_left_out(path: Path) -> bool:
    return any(part in _LEFT_OUT or part.startswith(".") for part in path.parts[:-1])


def faults_of(files: Sequence[Path]) -> list[Fault]:
    """All that is wrong in component files, in order of file and line.

    Args:
        files: The files. Components of other libraries are held to their own schema.
    """
    documents = [one for path in files for one in _documents(path)]
    faults = [fault for one in documents for fault in one.faults()]
    return sorted({*faults, *_shared_targets(documents)})


@dataclass(frozen=True, slots=True)
class _Document:
    """One component: a document of a file, as it was read, or what kept it from being read."""

    path: Path
    value: Any
    positions: SourcePositionTree | None
    unreadable: Fault | None = None

    def line(self, *keys: KeyPathSegment) -> int:
        if self.positions is None:
            return 1
        position, _ = self.positions.lookup_closest_and_path(list(keys), None)
        return position.start.line

    def fault(self, message: str, *keys: KeyPathSegment) -> Fault:
        return Fault(self.path, self.line(*keys), message)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self._at_top(_ATTRIBUTES) or {}

    def _at_top(self, key: str) -> Any:
        return self.value.get(key) if _is_mapping(self.value) else None

    def faults(self) -> Iterator[Fault]:
        if self.unreadable is not None:
            yield self.unreadable
            return
        name = self._at_top("type")
        if not isinstance(name, str):
            yield self.fault(
                "It names no component: write type: tranship.replication.ReplicationComponent."
            )
            return
        if name.startswith("."):
            return  # of the folder's own code, which is loaded with the project: dg check yaml and dg check defs
        try:
            component = _component(name)
        except ConfigurationError as error:
            yield self.fault(str(error), "type")
            return
        faults = list(self._faults_of_schema(component.get_model_cls()))
        yield from faults
        if not faults and issubclass(component, ReplicationComponent):
            yield from self._faults_of_settings()

    def _faults_of_schema(self, model: type[BaseModel] | None) -> Iterator[Fault]:
        if model is None:
            return
        try:
            model.model_validate(dict(self.attributes))
        except ValidationError as error:
            for one in error.errors():
                keys = [part for part in one["loc"] if self._is_in_file(one["loc"], part)]
                shown = ".".join(str(part) for part in keys)
                yield self.fault(f"{shown or _ATTRIBUTES}: {one['msg']}.", _ATTRIBUTES, *keys)

    def _is_in_file(self, location: Sequence[Any], part: Any) -> bool:
        """Whether a part of an error's location is one of the file, not the name of a choice of types."""
        at: Any = self.attributes
        for step in location:
            present = (_is_mapping(at) and step in at) or (
                _is_list(at) and isinstance(step, int) and step < len(at)
            )
            if step is part:
                return present or step is location[-1]
            at = at[step] if present else at
        return False

    def component(self, **changed: Any) -> ReplicationComponent:
        """The component, with some attributes changed.

        Raises:
            ConfigurationError: A variable that it takes from the environment is not set.
        """
        try:
            return ReplicationComponent.resolve_from_dict({**self.attributes, **changed})
        except dg.DagsterError as error:
            raise ConfigurationError(str(error), "") from error

    def _faults_of_settings(self) -> Iterator[Fault]:
        reported = set[str]()
        for position, entry in enumerate(self.attributes.get("tables", [])):
            for _, reason in self._reasons(tables=[entry]):
                reported.add(reason)
                yield self.fault(reason, _ATTRIBUTES, "tables", position)
        for sources, reason in self._reasons():
            if reason not in reported:
                yield self.fault(reason, _ATTRIBUTES, "tables", *self._last_entry_of(sources))

    def _reasons(self, **changed: Any) -> list[tuple[str, str]]:
        """Which tables are left out, and why, as far as that needs no look at the source."""
        try:
            left_out = self.component(**changed).planned_tables([]).left_out
        except TranshipError as error:
            return [("", str(error))]
        return [(one.source, one.reason) for one in left_out]

    def _last_entry_of(self, sources: str) -> list[int]:
        """Where the last of some tables stands: that it is one too many is seen there."""
        wanted, default_schema = sources.split(", "), self.component().default_schema
        return [
            position
            for position, entry in enumerate(self.attributes["tables"])
            if _full_name(entry["table"], default_schema) in wanted
        ][-1:]


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _full_name(text: str, default_schema: str) -> str:
    try:
        return str(TableName.parse(text, default_schema=default_schema))
    except TranshipError:
        return text


def _documents(path: Path) -> list[_Document]:
    try:
        text = path.read_text(encoding="utf-8")
        return [
            _Document(path, one.value, one.source_position_tree)
            for one in parse_yamls_with_source_position(text, str(path))
        ]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        fault = Fault(path, mark.line + 1 if mark else 1, f"It is no YAML: {error.problem}.")
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(path, 1, f"It cannot be read: {error}.")
    return [_Document(path, None, None, fault)]


def _component(name: str) -> type[dg.Component]:
    """The component type of a name."""
    module, _, own = name.rpartition(".")
    try:
        component = getattr(importlib.import_module(module), own)
    except (ImportError, AttributeError, ValueError):
        component = None
    if not isinstance(component, type) or not issubclass(component, dg.Component):
        raise ConfigurationError(
            f"There is no component type {name}.",
            "Check the spelling, and that its package is installed.",
        )
    return component


def _shared_targets(documents: Sequence[_Document]) -> Iterator[Fault]:
    """Tables that two documents would copy to one."""
    taken: dict[tuple[str, ...], tuple[_Document, str]] = {}
    for document in documents:
        if document.unreadable is not None or list(document.faults()):
            continue
        if not issubclass(_component_or_none(document), ReplicationComponent):
            continue
        for position, entry in enumerate(document.attributes["tables"]):
            for table in document.component(tables=[entry]).replicated_tables([]):
                folded = tuple(part.lower() for part in table.asset_key.path)
                other, source = taken.setdefault(folded, (document, str(table.plan.source)))
                if other is not document:
                    yield document.fault(
                        f"{table.plan.source} would be copied to {table.plan.target}, as {source} is by {other.path}. Give one of "
                        "them another target or target_schema.",
                        _ATTRIBUTES,
                        "tables",
                        position,
                    )


def _component_or_none(document: _Document) -> type:
    name = document.value["type"]
    return object if name.startswith(".") else _component(name)
