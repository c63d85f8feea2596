"""Hooks of the documentation site: reference pages made from the code, and llms.txt.

What stands in the code once (settings, errors) is not written a second time. Links that leave docs/ lead to files of the
repository, which the site does not have: they become the file's name, and its pictures are taken along.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

CHECKOUT = Path(__file__).parents[1]
PICTURES = "bench/results"
_OUTSIDE = re.compile(r"(!?)\[([^\]]*)\]\(\.\./(?:\.\./)*([^)#]+)(?:#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    for path, text in (
        ("reference/replication.md", replication()),
        ("reference/resources.md", resources()),
        ("reference/errors.md", errors()),
        ("reference/api.md", api()),
        ("llms.txt", index_for_models(config)),
    ):
        files.append(File.generated(config, path, content=text))
    for picture in sorted((CHECKOUT / PICTURES).glob("*.svg")):
        files.append(
            File.generated(config, f"{PICTURES}/{picture.name}", abs_src_path=str(picture))
        )
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Turn links to files of the repository into their names."""
    return _OUTSIDE.sub(_inside, markdown)


def _inside(match: re.Match[str]) -> str:
    picture, text, path = match.groups()
    if picture and path.startswith(PICTURES):
        return f"![{text}]({path})"
    return f"`{path}`" if text.strip("`") in {path, Path(path).name} else f"{text} (`{path}`)"


# ---- pages ----


def replication() -> str:
    """The settings of a replication's YAML."""
    from tranship.replication.component import ReplicationComponent
    from tranship.replication.config import (
        CheckSettings,
        ColumnSettings,
        PartitionSettings,
        TableSettings,
        Tuning,
    )

    attributes = {
        name: field
        for name, field in ReplicationComponent.model_fields.items()
        if field.description
    }
    own = {
        name: field
        for name, field in TableSettings.model_fields.items()
        if name not in Tuning.model_fields
    }
    return "\n".join(
        (
            "# Settings of a replication",
            "",
            "What may stand in a `defs.yaml` of type `tranship.replication.ReplicationComponent`.",
            *_section("attributes", attributes),
            *_section("An entry of `tables`", own),
            *_section("An entry of `tables`, or `defaults`", Tuning.model_fields),
            *_section("`columns`", ColumnSettings.model_fields),
            *_section("`partitions`", PartitionSettings.model_fields),
            *_section("`checks`", CheckSettings.model_fields),
        )
    )


def resources() -> str:
    """The settings of the resources and IO managers."""
    import tranship

    parts = [
        "# Resources and IO managers",
        "",
        "Every setting is a field of the class: `PostgresResource(host=...)`. Secrets are given as `dagster.EnvVar`.",
    ]
    for name in tranship.__all__:
        kind = getattr(tranship, name)
        if (
            inspect.isclass(kind)
            and issubclass(kind, BaseModel)
            and name.endswith(("Resource", "IOManager"))
        ):
            fields = {key: field for key, field in kind.model_fields.items() if field.description}
            parts += _section(f"`{name}`", fields, _summary(kind))
    return "\n".join((*parts, *_variables()))


def errors() -> str:
    """The tree of errors, as the code has it."""
    import tranship
    from tranship import errors as module

    # A class is known to its parent once its module is imported.
    for module_info in pkgutil.walk_packages(tranship.__path__, "tranship."):
        if not module_info.name.endswith(".__main__"):
            importlib.import_module(module_info.name)
    parts = [
        "# Errors",
        "",
        "Each says what happened (`what`), to which table or column, and what to do (`remedy`); `details` has the facts. "
        "A fault that passes is repeated by the library and by the step's retry policy.",
        "",
        "| Error | Is a | Repeated | When | What to do |",
        "|---|---|---|---|---|",
    ]
    for kind in _tree(module.TranshipError):
        parents = ", ".join(
            f"`{base.__name__}`" for base in kind.__bases__ if base is not Exception
        )
        repeated = "yes" if kind.transient else "no"
        parts.append(
            f"| `{kind.__name__}` | {parents or '-'} | {repeated} | {_summary(kind)} | {_remedy(kind)} |"
        )
    return "\n".join(parts)


def api() -> str:
    """A directive for every name of the front door."""
    import tranship

    parts = ["# Python API", "", "`import tranship` has these names; everything else may move."]
    for name in tranship.__all__:
        home = f"tranship.{tranship._HOMES[name]}.{name}"  # noqa: SLF001 - the table of the front door
        parts += ["", f"::: {home}"]
    return "\n".join(parts)


def index_for_models(config: MkDocsConfig) -> str:
    """https://llmstxt.org: the site's pages with their first sentence."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", "", "## Docs", ""]
    for title, path in _pages(config.nav or []):
        file = Path(config.docs_dir) / path
        first = _first_sentence(file.read_text()) if file.exists() else "Made from the code."
        lines.append(f"- [{title}]({path}): {first}")
    return "\n".join(lines) + "\n"


# ---- parts ----


def _section(title: str, fields: dict[str, Any], text: str = "") -> Iterator[str]:
    yield from ("", f"## {title}", "")
    if text:
        yield from (text, "")
    yield from ("| Setting | Default | Meaning |", "|---|---|---|")
    for name, field in fields.items():
        yield f"| `{name}` | {_default(field)} | {_cell(field.description or '')} |"


def _variables() -> Iterator[str]:
    """The variables that give the settings of the stack's systems."""
    from tranship.postgres.settings import PostgresFields
    from tranship.redshift.settings import RedshiftFields
    from tranship.settings import settings_of
    from tranship.sqlserver.settings import SqlServerFields

    yield from ("", "## Variables of a deployment", "")
    yield "What `.env` and `secrets/` say reaches the settings of these names."
    yield from ("", "| Variable | Setting | Meaning |", "|---|---|---|")
    for prefix, declaration in (
        ("TRANSHIP_SQLSERVER_", SqlServerFields),
        ("TRANSHIP_POSTGRES_", PostgresFields),
        ("TRANSHIP_REDSHIFT_", RedshiftFields),
    ):
        for name, setting in settings_of(declaration).items():
            if setting.variable:
                description = _cell(setting.description)
                yield f"| `{prefix}{setting.variable}` | `{name}` | {description} |"


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "-" if default is None or isinstance(default, BaseModel) else f"`{default}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _summary(kind: type) -> str:
    return _cell(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0])


def _remedy(kind: type) -> str:
    paragraphs = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    remedies = (text for text in paragraphs if text.startswith("What to do: "))
    return _cell(next(remedies, "-").removeprefix("What to do: "))


def _tree(root: type) -> Iterator[type]:
    seen: dict[type, None] = {}
    stack = [root]
    while stack:
        kind = stack.pop(0)
        if kind not in seen and kind.__module__.startswith("tranship"):
            seen[kind] = None
            stack = [*kind.__subclasses__(), *stack]
    return iter(seen)


def _pages(entries: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        for title, value in entry.items():
            if isinstance(value, str):
                yield title, value
            else:
                yield from _pages(value)


def _first_sentence(text: str) -> str:
    body = next(
        (block for block in text.split("\n\n")[1:] if block and block[0] not in "#`|!<-"), ""
    )
    return " ".join(body.split()).partition(". ")[0].rstrip(".:") + "."
