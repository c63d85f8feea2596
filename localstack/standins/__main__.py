"""`python -m standins NAME ...`: start one stand-in. Each one's own `--help` lists its options."""

import importlib
import sys

COMMANDS = {
    "sqlserver": "a TDS server that runs a T-SQL subset",
    "redshift": "a Postgres-wire gateway that behaves like Redshift",
    "sample": "load the generated AdventureWorksDW sample into a SQL Server",
}


def main(argv: list[str]) -> int:
    """Run the stand-in named by the first argument; returns the process exit code."""
    if not argv or argv[0] not in COMMANDS:
        lines = [f"  {name:<10} {purpose}" for name, purpose in COMMANDS.items()]
        sys.stderr.write("usage: python -m standins NAME [options]\n" + "\n".join(lines) + "\n")
        return 0 if argv and argv[0] in {"-h", "--help"} else 2
    command = importlib.import_module(f"standins.{argv[0]}.command")
    return command.main(argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
