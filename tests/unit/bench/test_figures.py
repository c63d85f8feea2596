from bench.figures import Row, Run, Section, Table, in_turns, ratio


def row(way: str, *walls: float, cpu: float = 1.0, peak: float = 100.0, **given) -> Row:
    return Row(way, way, [Run(wall, cpu, peak) for wall in walls], **given)


def test_a_row_shows_the_median_time_and_the_most_memory():
    measured = Row("a", "a", [Run(3.0, 2.0, 50.0), Run(1.0, 9.0, 70.0), Run(2.0, 1.0, 60.0)])
    assert (measured.wall_seconds, measured.cpu_seconds, measured.peak_megabytes) == (
        2.0,
        2.0,
        70.0,
    )


def test_ways_take_turns_there_and_back():
    order: list[str] = []

    def run_one(one: Row) -> tuple[Run, str]:
        order.append(one.way)
        return Run(1.0, 1.0, 1.0), "right"

    in_turns([row("a"), row("b"), row("c")], run_one, rounds=3, once_above_seconds=10)
    assert "".join(order) == "abccbaabc"


def test_a_slow_way_runs_once():
    rows = [row("slow"), row("fast")]
    walls = {"slow": 11.0, "fast": 1.0}
    in_turns(
        rows, lambda one: (Run(walls[one.way], 1, 1), "right"), rounds=3, once_above_seconds=10
    )
    assert [len(one.runs) for one in rows] == [1, 3]


def test_a_way_that_was_wrong_or_refused_is_not_run_again():
    rows = [row("wrong"), row("refused"), row("right")]
    answers = {
        "wrong": (Run(1, 1, 1), "wrong: 1 row instead of 2"),
        "refused": (None, "refused: no such type"),
        "right": (Run(1, 1, 1), "right"),
    }
    in_turns(rows, lambda one: answers[one.way], rounds=3, once_above_seconds=10)
    assert [(len(one.runs), one.verdict) for one in rows] == [
        (1, "wrong: 1 row instead of 2"),
        (0, "refused: no such type"),
        (3, "right"),
    ]


def test_every_way_runs_once_and_nothing_again_when_the_time_is_up():
    rows = [row("a"), row("b")]
    in_turns(
        rows,
        lambda one: (Run(1, 1, 1), "right"),
        rounds=3,
        once_above_seconds=10,
        in_time=lambda: False,
    )
    assert [len(one.runs) for one in rows] == [1, 1]


def test_who_is_ahead_is_named_with_what_in():
    table = Table(
        "t",
        [row("tranship", 2.0, cpu=2.0), row("dlt", 1.0, cpu=3.0), row("slow", 5.0, cpu=4.0)],
        10,
    )
    assert table.ahead() == ["dlt: wall time (2.0x)"]


def test_limits_wrong_answers_and_our_own_variants_are_nobody_to_be_ahead_of_us():
    fast = [
        row("limit-drain", 0.1, limit=True),
        row("dlt", 0.1, verdict="wrong: 0 rows instead of 10"),
        row("tranship-4-parts", 0.1),
        Row("sling", "sling", verdict="refused: no"),
    ]
    assert Table("t", [row("tranship", 2.0), *fast], 10).ahead() == []


def test_our_cpu_is_compared_with_the_parts_of_the_work_together():
    parts = [
        row("limit-drain", 1.0, cpu=2.0, limit=True),
        row("limit-encode", 1.0, cpu=0.5, limit=True),
    ]
    table = Table("t", [row("tranship", 2.0, cpu=3.0), *parts], 10)
    assert table.overhead(("limit-drain", "limit-encode")) == 1.2
    assert table.overhead(("limit-drain", "limit-parquet")) is None


def test_nobody_is_ahead_where_we_were_wrong_and_do_not_count():
    table = Table("t", [row("tranship", 2.0, verdict="wrong: x"), row("dlt", 1.0)], 10)
    assert table.ahead() == []


def test_a_section_survives_json():
    section = Section("k", "K", [Table("t", [row("tranship", 2.0, note="n")], 10)], notes=["a"])
    assert Section.from_json(section.to_json()) == section


def test_a_ratio_to_nothing_is_infinite():
    assert (ratio(3, 2), ratio(1, 0)) == (1.5, float("inf"))
