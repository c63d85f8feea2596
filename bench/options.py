"""What `make bench` is asked for."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Way

SMALL_ROWS = 10_000
SHARES = {
    "sqlserver-to-postgres": 0.38,
    "types": 0.14,
    "load": 0.14,
    "redshift": 0.18,
    "memory": 0.08,
    "cores": 0.08,
    "run-launch": 0.0,
}
"""The part of the time that each section may use for repetitions."""
SECTIONS = tuple(SHARES)
RUN_LAUNCH = "run-launch"
DEFAULT_SECTIONS = tuple(key for key in SECTIONS if key != RUN_LAUNCH)
"""All but the one that needs a Docker engine, and ten minutes more."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one run; `parse` says what they mean."""

    rows: int = 1_000_000
    source: str = ""
    target: str = ""
    peers: frozenset[str] = frozenset()
    sections: tuple[str, ...] = DEFAULT_SECTIONS
    shapes: tuple[str, ...] = ()
    large_only: bool = False
    rounds: int = 3
    minutes: float = 10.0
    once_above_seconds: float = 20.0
    timeout_seconds: float = 600.0
    server_note: str = ""
    output: Path = Path(".bench/results")
    publish: bool = False
    add: bool = False

    def wants(self, way: Way) -> bool:
        """Whether a way is to be measured: tranship always is, to compare with."""
        named = {way.key, way.peer}
        return way.limit or way.peer == "tranship" or not self.peers or bool(named & self.peers)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measure tranship beside what people would use instead."
    )
    default = Options()
    parser.add_argument(
        "--rows",
        type=_count,
        default=default.rows,
        help="rows of the large tables, such as 250000 or 10M (%(default)s); the SQL Server stand-in gets a twentieth",
    )
    parser.add_argument(
        "--source",
        default="",
        help="a real SQL Server: mssql+mssqlpython://user:password@host:1433/database; tables dbo.bench_* are "
        "made in it and dropped. Without it the stand-in, which is slower than what is measured",
    )
    parser.add_argument(
        "--target",
        default="",
        help="a Postgres; its schema bench is dropped. Default: an embedded one",
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        default=[],
        metavar="PEER",
        help="only these beside tranship: dlt sling ...",
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        default=list(DEFAULT_SECTIONS),
        choices=SECTIONS,
        help=f"all but {RUN_LAUNCH} by default, which needs a Docker engine and ten minutes more",
    )
    parser.add_argument(
        "--shapes", nargs="+", default=[], help="only these tables: wide narrow text lob"
    )
    parser.add_argument("--large-only", action="store_true", help="leave out the small sizes")
    parser.add_argument(
        "--rounds", type=int, default=default.rounds, help="runs of each (%(default)s)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=default.minutes,
        help="each way runs at least once; nothing is repeated when its share of this is used up (%(default)s)",
    )
    parser.add_argument(
        "--once-above-seconds",
        type=float,
        default=default.once_above_seconds,
        help="a way slower than this is run once (%(default)s)",
    )
    parser.add_argument("--timeout-seconds", type=float, default=default.timeout_seconds)
    parser.add_argument(
        "--server-note",
        default="",
        help="what the source is, where its own name does not say it all",
    )
    parser.add_argument("--output", type=Path, default=default.output)
    parser.add_argument(
        "--publish",
        action="store_true",
        help="replace these sections in bench/results and docs/measurements.md",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="with --publish: keep the section's published tables that were not measured now",
    )
    given = vars(parser.parse_args(arguments))
    return Options(
        **{
            **given,
            "peers": frozenset(given["peers"]),
            "sections": tuple(given["sections"]),
            "shapes": tuple(given["shapes"]),
        }
    )


def _count(text: str) -> int:
    factors = {"k": 1_000, "m": 1_000_000}
    last = text[-1:].lower()
    number = float(text[:-1]) * factors[last] if last in factors else float(text.replace("_", ""))
    if number < 1 or number != int(number):
        raise argparse.ArgumentTypeError(f"{text} is not a number of rows")
    return int(number)
