"""The trend over commits: one line a commit and cell, bounded, mended, compared, drawn."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from results import trend as trends
from results.charts import trend as trend_chart
from results.charts.style import BROKEN, write
from results.charts.trend import trend_numbers
from results.errors import ConfigError
from results.expectation import State
from results.trend import Ratio, Trend, TrendLine, benchmark_rows, read_trend, write_trend
from results.verdict import Validity
from tests.unit.publish.stored import line, percentile

EVIL = "</title><script>alert(1)</script>$x$\x00\u202e"
FALLEN = {"validity": Validity.INVALID, "state": State.DIFFERS, "codes": {"A10": 1, "A2": 3}}


def test_a_commit_that_is_published_again_replaces_its_own_lines(tmp_path: Path) -> None:
    trend = Trend([line("a"), line("a", "insert_first"), line("b")])
    trend.add([line("a", **FALLEN), line("a", "naive")])
    assert [(one.commit, one.strategy) for one in trend.lines] == [
        ("a", "article"), ("a", "insert_first"), ("a", "naive"), ("b", "article"),
    ]  # fmt: skip
    assert trend.at("a", line("a").cell) == line("a", **FALLEN)
    write_trend(tmp_path / "trend.jsonl", trend)
    again, notes = read_trend(tmp_path / "trend.jsonl")
    assert (again.lines, again.commits, notes) == (trend.lines, ["a", "b"], [])


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trends, "COMMITS_MAX", 3)
    monkeypatch.setattr(trends, "LINES_MAX", 6)
    trend = Trend(line(commit, name) for commit in "abcde" for name in ("x", "y"))
    assert trend.commits == ["c", "d", "e"]
    trend.add(line("f", name) for name in "tuvwx")
    assert trend.commits == ["f"]  # five lines, and those of e would be one too many
    trend.add(line("g", str(number)) for number in range(9))
    assert [one.strategy for one in trend.lines] == ["3", "4", "5", "6", "7", "8"]


def test_a_missing_file_is_an_empty_trend(tmp_path: Path) -> None:
    trend, notes = read_trend(tmp_path / "trend.jsonl")
    assert (trend.lines, trend.commits, notes) == ([], [], [])


def test_every_prefix_of_a_trend_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "trend.jsonl"
    write_trend(file, Trend([line("a"), line("b", **FALLEN)]))
    content = file.read_bytes()
    whole = {0: 0, content.index(b"\n"): 1, len(content) - 1: 2}
    for length in range(len(content)):
        file.write_bytes(content[:length])
        trend, notes = read_trend(file)
        assert len(trend.lines) == max(n for at, n in whole.items() if at <= length)
        cut = length not in (0, *whole, content.index(b"\n") + 1)
        assert len(notes) == cut
        assert not cut or "trend.jsonl could not be read and was left out (line" in notes[0]


@pytest.mark.parametrize(
    "foreign",
    [
        b"<!doctype html>", b"{}", b"[1]", b"\xff\xfe", b'{"commit": "a"}', b"null",
        json.dumps({"format_version": 9, "commit": "z", "at_utc": "", "strategy": "s",
                    "scenario": "s", "provider": "p", "seed": 1, "validity": "valid",
                    "state": "unknown"}).encode(),
    ],
)  # fmt: skip
def test_a_foreign_line_is_left_out_and_told(tmp_path: Path, foreign: bytes) -> None:
    file = tmp_path / "trend.jsonl"
    write_trend(file, Trend([line("a"), line("b")]))
    first, second, _ = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([first, foreign, b"", second, foreign]))
    trend, (note,) = read_trend(file)
    assert trend.commits == ["a", "b"]
    assert note.startswith("2 lines of trend.jsonl could not be read")
    assert "line 2: " in note
    assert "line 5: " in note


def test_a_file_that_cannot_be_a_trend_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trend(tmp_path)
    monkeypatch.setattr(trends, "FILE_MAX_BYTES", 10)
    (tmp_path / "trend.jsonl").write_bytes(b"x" * 11)
    with pytest.raises(ConfigError, match="no trend of onceproof"):
        read_trend(tmp_path / "trend.jsonl")


def test_a_change_is_one_of_the_verdict_or_of_how_it_stands() -> None:
    trend = Trend([
        line("a"), line("a", "naive"),
        line("b", codes={"A1": 1}),  # not run at b: naive
        line("c", **FALLEN), line("c", "naive", state=State.UNKNOWN, validity=Validity.UNKNOWN),
        line("d", state=State.AS_EXPECTED, **{k: FALLEN[k] for k in ("validity", "codes")}),
    ])  # fmt: skip
    assert [trend.changes(commit) for commit in ("a", "b")] == [[], []]
    first, second = trend.changes("c")
    assert first.sentence == (
        "article × storm (honours, seed 1): invalid A2 A10 (differs), was valid A1 at b"
    )
    assert second.before.commit == "a"
    (moved,) = trend.changes("d")  # the table was mended, the verdict is the same
    assert moved.sentence.endswith("invalid A2 A10 (as expected), was invalid A2 A10 at c")
    assert Trend([line("a"), line("b", seed=2, **FALLEN)]).changes("b") == []  # another cell


def test_a_latency_is_a_multiple_of_the_references() -> None:
    ours = line("a", p50=percentile(0.5, 30.0), p99=percentile(0.99, 50.0, open_end=True))
    theirs = line("a", "insert_first", p50=percentile(0.5, 20.0), p99=percentile(0.99, 40.0))
    trend = Trend([ours, theirs])
    ratio = trend.ratio(ours, 0.5)
    assert ratio is not None
    assert ratio.value == 1.5
    assert ratio.low == pytest.approx(27 / 22)
    assert ratio.high == pytest.approx(33 / 18)
    assert trend.ratio(ours, 0.99) == Ratio(value=1.25, low=pytest.approx(45 / 44), high=None)
    assert trend.ratio(theirs, 0.5) is None  # it is the reference


@pytest.mark.parametrize(
    "reference",
    [
        line("b", "insert_first"), line("a", "insert_first", seed=2),
        line("a", "insert_first", scenario="calm"), line("a", "insert_first", provider="ignores"),
        line("a", "insert_first", p50=None), line("a", "insert_first", p50=percentile(0.5, None)),
        line("a", "insert_first", p50=percentile(0.5, 0.0)), line("a", "for_update"),
        line("a", "insert_first", State.UNKNOWN),
    ],
)  # fmt: skip
def test_without_a_reference_beside_it_there_is_no_ratio(reference: TrendLine) -> None:
    ours = line("a")
    assert Trend([ours, reference]).ratio(ours, 0.5) is None
    assert Trend([replace(ours, reference="")]).ratio(replace(ours, reference=""), 0.5) is None


def test_the_rows_for_another_tool_are_ratios() -> None:
    ours = line("a", p50=percentile(0.5, 30.0), p99=percentile(0.99, 50.0, open_end=True))
    theirs = line("a", "insert_first")
    rows = benchmark_rows(Trend([ours, theirs]), [ours, theirs])
    assert [(row["name"], row["unit"], row["value"]) for row in rows] == [
        ("p50 article × storm (honours, seed 1)", "× insert_first", 3.0),
        ("p99 article × storm (honours, seed 1)", "× insert_first", 1.25),
    ]
    assert ["range" in row for row in rows] == [True, False]


def history(count: int = 4) -> Trend:
    """The right one falls at the last commit; naive is never compared."""
    trend = Trend()
    for number in range(count):
        commit = f"{number:07d}"
        last = FALLEN if number == count - 1 else {}
        trend.add([
            line(commit, "naive", State.NOT_IN_TABLE, validity=Validity.INVALID, codes={"A1": 2}),
            line(commit), line(commit, "insert_first", **last),
        ])  # fmt: skip
    return trend


def test_the_numbers_lie_beside_the_picture(tmp_path: Path) -> None:
    trend = history()
    write(tmp_path, "trend", trend_numbers(trend), salt="trend")
    numbers = json.loads((tmp_path / "trend.json").read_bytes())
    assert numbers["commits"] == trend.commits
    right = numbers["cells"][2]
    assert (right["strategy"], right["scenario"]) == ("insert_first", "storm")
    assert [one["changed"] for one in right["points"]] == [False, False, False, True]
    assert [one["state"] for one in right["points"]] == ["as expected"] * 3 + ["differs"]
    assert [one["found"] for one in right["points"]] == ["valid"] * 3 + ["invalid A2 A10"]
    assert numbers["cells"][1]["points"][0]["p50_ratio"]["value"] == 1.0


def drawn(folder: Path, trend: Trend) -> str:
    """The SVG; its matplotlib never warned."""
    folder.mkdir(exist_ok=True)
    png, svg, _ = write(folder, "trend", trend_numbers(trend), salt="trend")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert ET.parse(svg).getroot().tag.endswith("svg")
    return svg.read_text()


def test_red_is_reserved_for_what_differs_and_a_change_is_framed(tmp_path: Path) -> None:
    calm, fallen = drawn(tmp_path, Trend(history().lines[:-3])), drawn(tmp_path, history())
    assert BROKEN not in calm  # naive is guilty all the time
    assert fallen.count(f"fill: {BROKEN}") == 1
    assert calm.count("stroke-width: 2.2") == 0
    assert fallen.count("stroke-width: 2.2") == 1
    assert "0000003: 1 of 3 cells differs, 1 changed" in fallen


def test_the_trend_is_the_same_picture_each_time(tmp_path: Path) -> None:
    assert drawn(tmp_path / "a", history()) == drawn(tmp_path / "b", history())


@pytest.mark.parametrize(
    "trend",
    [
        Trend(), Trend([line("a", reference="", p50=None, p99=None)]),
        Trend([line(EVIL, EVIL, scenario=EVIL, provider=EVIL, reference=EVIL), line("b")]),
        Trend([line("a", p50=percentile(0.5, 1e9)), line("a", "insert_first"),
               line("b"), line("b", "insert_first", seed=2)]),
        Trend([line("a", reference="for_update"), line("a", "for_update"), line("b"),
               line("b", "insert_first")]),
    ],
)  # fmt: skip
def test_any_trend_can_be_drawn(tmp_path: Path, trend: Trend) -> None:
    assert "<script" not in drawn(tmp_path, trend)


def test_what_has_no_room_is_counted_and_what_differs_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trend_chart, "ROWS_MAX", 5)
    monkeypatch.setattr(trend_chart, "PANELS_MAX", 1)
    monkeypatch.setattr(trend_chart, "COMMITS_SHOWN", 2)
    lines = [line(commit, "article", scenario=f"calm-{number}")
             for commit in "abc" for number in range(9)]  # fmt: skip
    lines += [line("c", "insert_first", scenario=f"calm-{number}") for number in range(2)]
    trend = Trend([*lines, line("c", "last", **FALLEN)])
    text = drawn(tmp_path, trend)
    assert "last × storm" in text
    assert "7 cells have no room here" in trend_numbers(trend).title
    assert trend_numbers(trend).title.endswith("latencies of 1 more are in trend.json")
    assert trend_numbers(trend).commits == ("b", "c")
    assert len(trend_numbers(trend).cells) == 12
