"""The parts of the measurements; each has `KEY` and `measure(systems, options)`."""
