"""What the documentation prints: its fenced blocks, and the commands in them and in its sentences."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGES = (
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "user_code/README.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
)
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_COMMANDS = (
    "make",
    "tranship",
    "dg",
    "dagster",
    "docker compose",
    "pip install",
    "python -m tranship",
    "./stack",
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Args:
        page: The page, from the checkout on.
        line: The line of its fence.
        language: What its fence says; empty where it says nothing.
        text: What stands in it, without the fence's own indent.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first_line(self) -> str:
        """What it is known by, as lines of a page move."""
        return self.text.strip().partition("\n")[0].strip()


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a page prints.

    Args:
        place: Where it stands.
        words: It, without variables before it, redirections and what comes after a comment's sign.
        variables: The variables that it sets for itself.
    """

    place: str
    words: tuple[str, ...]
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place} {' '.join(self.words[:4])}"


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages, or those in some languages."""
    found = [block for page in PAGES for block in _blocks_of(page)]
    return [block for block in found if not languages or block.language in languages]


def texts_of(*folders: str) -> set[str]:
    """Every text in the code of some folders, in one piece between two values that are filled in; in lower case."""
    return {
        node.value.casefold()
        for folder in folders
        for file in (CHECKOUT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in _FENCE.finditer(text):
        indent, language, body = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        lines = (part.removeprefix(indent) for part in body.splitlines(keepends=True))
        yield Block(str(page.relative_to(CHECKOUT)), line, language, "".join(lines))


def commands() -> list[Command]:
    """Every command of every page: in blocks of a shell, and in sentences those that begin as one of ours."""
    found = [
        command
        for block in blocks("sh", "console")
        for line in block.text.replace("\\\n", " ").splitlines()
        if (text := _typed(line, block.language))
        for command in _commands_of(str(block), text)
    ]
    for page in PAGES:
        prose = _FENCE.sub("", page.read_text())
        for span in _SPAN.findall(prose):
            text = span.removeprefix(".venv/bin/")
            if any(text == start or text.startswith(f"{start} ") for start in _COMMANDS):
                found += _commands_of(str(page.relative_to(CHECKOUT)), text)
    return found


def _typed(line: str, language: str) -> str:
    """What somebody types of a line: in a block with output, what comes after the prompt."""
    if language == "console":
        return line.removeprefix("$ ") if line.startswith("$ ") else ""
    return line


def _commands_of(place: str, text: str) -> Iterator[Command]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, "&&"]:
        if set(word) <= set("&|;<>()") and word not in {"<", ">", ">>"}:
            if words:
                yield _command(place, words)
            words = []
        else:
            words.append(word)


def _command(place: str, words: list[str]) -> Command:
    count = next(
        (at for at, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words)
    )
    variables = tuple(word.partition("=")[0] for word in words[:count])
    return Command(place, tuple(words[count:]), variables)
