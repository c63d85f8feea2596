"""The one door to the measurements: `make bench`, or `python -m bench --help`."""

import importlib
import json
import sys
import time

from bench.figures import TRANSHIP, Section
from bench.machine import describe_machine
from bench.options import RUN_LAUNCH, Options, parse
from bench.report import publish, render
from bench.systems import Systems


def main() -> int:
    """Measure the sections that were asked for, and write what was found."""
    options = parse()
    options.output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    found: list[Section] = []
    with Systems(options) as systems:
        for key in options.sections:
            section = measure(key, systems, options)
            found.append(section)
            # Each at once: what comes after it may fail, or be given up.
            path = options.output / f"{key}.json"
            path.write_text(json.dumps(section.to_json(), indent=1, ensure_ascii=False) + "\n")
            if options.publish:
                publish([section], add=options.add)
    text = render(found)
    (options.output / "results.md").write_text(text)
    print(f"\n{text}\n{time.perf_counter() - started:.0f} s; {options.output}/results.md")
    if RUN_LAUNCH not in options.sections:
        print(f'{RUN_LAUNCH} was not measured: make bench BENCH_OPTIONS="--sections {RUN_LAUNCH}"')
    ours = [row for one in found for table in one.tables for row in table.rows]
    return 1 if any(row.way == TRANSHIP and not row.counts for row in ours) else 0


def measure(key: str, systems: Systems, options: Options) -> Section:
    """One section, with where and when it was measured."""
    module = importlib.import_module(f"bench.sections.{key.replace('-', '_')}")
    started = time.perf_counter()
    machine = describe_machine()
    section: Section = module.measure(systems, options)
    section.circumstances = {**machine, **section.circumstances}
    print(f"{key}: {time.perf_counter() - started:.0f} s", flush=True)
    return section


if __name__ == "__main__":
    sys.exit(main())
