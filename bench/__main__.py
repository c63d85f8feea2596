"""The one door to the measurements: `make bench`, or `python -m bench --help`."""

import importlib
import json
import sys
import time
from pathlib import Path

from bench.figures import Section
from bench.machine import describe_machine
from bench.options import Options, parse
from bench.report import publish, render
from bench.systems import Systems


def main() -> int:
    """Measure the sections that were asked for, and write what was found."""
    options = parse()
    options.output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    found = measure(options)
    for section in found:
        path = options.output / f"{section.key}.json"
        path.write_text(json.dumps(section.to_json(), indent=1) + "\n")
    text = render(found)
    (options.output / "results.md").write_text(text)
    print(f"\n{text}\n{time.perf_counter() - started:.0f} s; {options.output}/results.md")
    if options.publish:
        publish(found)
    wrong = [row.label for one in found for table in one.tables for row in table.rows
             if row.way == "tranship" and not row.counts]  # fmt: skip
    return 1 if wrong else 0


def measure(options: Options) -> list[Section]:
    """The sections, in their order."""
    found: list[Section] = []
    with Systems(options) as systems:
        for key in options.sections:
            module = importlib.import_module(f"bench.sections.{key.replace('-', '_')}")
            started = time.perf_counter()
            machine = describe_machine()
            section: Section = module.measure(systems, options)
            section.circumstances = {**machine, **section.circumstances}
            print(f"{key}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
            found.append(section)
    return found


RESULTS = Path(__file__).resolve().parent / "results"

if __name__ == "__main__":
    sys.exit(main())
