"""Every chart: the same bytes each time, of any history at all, and nothing secret in them."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from msgspec.structs import replace

from results.bundle import Bundle
from results.charts import CHARTS, draw_charts
from results.charts.percentiles import percentiles_figures
from results.charts.price import PricedCell, price_figures
from results.charts.style import log_ticks, ms_words, printable, spread, write
from results.checker import check
from results.records import Outcome
from results.timeline import counterexamples
from results.verdict import Validity
from tests.unit.results.world import World

SECRET = "hunter2-whsec-postgres-password"


def guilty() -> World:
    """Orders that are shipped once, one of them twice, and a crash."""
    world = World()
    for n in range(30):
        world.settled_order(n, at_ms=n * 100)
    world.ship(7, at_ms=760)
    world.crash("f", "commit-dropped", at_ms=500, healed_ms=900)
    world.end()
    return world


def nothing() -> World:
    return World()


def one(outcome: Outcome | None) -> Callable[[], World]:
    def world() -> World:
        found = World()
        found.deliver(1, at_ms=0, outcome=outcome)
        return found

    return world


def clocks_gone_wrong() -> World:
    """An answer before its delivery, and one of another century."""
    world = guilty()
    world.deliver(90, at_ms=50, took_ms=-40, late_ms=-45)
    world.deliver(91, at_ms=4e12, took_ms=3e9)
    return world


def odd_names() -> World:
    world = guilty()
    for name in ("$x^2$ <script>&\x00\u202e", "名前", "नाम", "a" * 200):
        world.crash(name, name, kind=name, at_ms=100, healed_ms=200)
    return world


def draw(bundle: Bundle, folder: Path) -> dict[str, bytes]:
    verdict = check(bundle)
    draw_charts(bundle, verdict, counterexamples(bundle, verdict), folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return draw(guilty().bundle(), tmp_path_factory.mktemp("drawn"))


def test_drawing_twice_gives_the_same_bytes_in_another_process_too(
    drawn: dict[str, bytes], tmp_path: Path
) -> None:
    here = drawn
    assert set(here) == {f"{chart}.{kind}" for chart in CHARTS for kind in ("png", "svg", "json")}
    code = (
        "import sys; from pathlib import Path; import tests.unit.results.test_chart_files as one; "
        "one.draw(one.guilty().bundle(), Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "there")], cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "MPLBACKEND": "template"},
        check=True, timeout=120,
    )  # fmt: skip
    there = {path.name: path.read_bytes() for path in sorted((tmp_path / "there").iterdir())}
    assert [name for name in here if here[name] != there.get(name)] == []


@pytest.mark.parametrize(
    "world",
    [nothing, one(Outcome.OK), one(Outcome.INFO), one(Outcome.FAIL), one(None),
     clocks_gone_wrong, odd_names],
)  # fmt: skip
def test_any_history_can_be_drawn(world: Callable[[], World], tmp_path: Path) -> None:
    files = draw(world().bundle(), tmp_path)
    for name, content in files.items():
        match name.rpartition(".")[2]:
            case "png":
                assert content.startswith(b"\x89PNG")
            case "svg":
                assert ET.fromstring(content).tag.endswith("svg")
            case _:
                assert msgspec.json.decode(content)["title"]
        assert len(content) < 400_000, name
    assert {name.partition(".")[0] for name in files} >= set(CHARTS) - {"counterexample"}


def test_a_dollar_in_a_name_is_a_dollar(tmp_path: Path) -> None:
    files = draw(odd_names().bundle(), tmp_path)
    assert "1 × $x^2$" in "".join(ET.fromstring(files["timeline.svg"]).itertext())


def test_a_chart_that_a_run_has_no_data_for_does_not_stay_from_an_earlier_time(
    drawn: dict[str, bytes], tmp_path: Path
) -> None:
    for name in (*drawn, "of-somebody-else.png"):
        (tmp_path / name).touch()
    bundle = guilty().bundle()
    draw_charts(bundle, check(bundle), (), tmp_path, ["latency", "counterexample"])
    left = {path.stem for path in tmp_path.iterdir()}
    assert left == {"latency", "of-somebody-else"}


def test_nothing_secret_is_in_a_chart(tmp_path: Path) -> None:
    world = guilty()
    world.crash("s", "reply-lost", at_ms=600, dsn=SECRET)
    bundle = world.bundle()
    told = {"environment": {"dsn": SECRET, "argv": [SECRET]}, "controller_lost": SECRET}
    leaky = Bundle(
        manifest=replace(bundle.manifest, **told),
        intents=bundle.intents,
        completions=tuple(replace(done, error=SECRET) for done in bundle.completions),
        calls=bundle.calls,
        statements=tuple(
            replace(trace, sql=(f"{trace.sql[0]} -- {SECRET}",), parameters=((SECRET,),))
            for trace in bundle.statements
        ),
        faults=tuple(replace(fault, detail={"dsn": SECRET}) for fault in bundle.faults),
        generator_ends=bundle.generator_ends,
        snapshots=bundle.snapshots,
    )
    files = draw(leaky, tmp_path)
    assert "counterexample.json" in files
    assert [name for name, content in files.items() if SECRET.encode() in content] == []


def test_what_is_drawn_stands_in_the_json(drawn: dict[str, bytes]) -> None:
    for chart in CHARTS:
        title = msgspec.json.decode(drawn[f"{chart}.json"])["title"]
        svg = "".join(ET.fromstring(drawn[f"{chart}.svg"]).itertext())
        assert re.sub(r"\s", "", title) in re.sub(r"\s", "", svg)


def test_the_charts_of_several_runs_are_the_same_files_each_time(tmp_path: Path) -> None:
    bundle = guilty().bundle()
    cells = [
        PricedCell(strategy=name, scenario=str(n), provider="honours", seed=1,
                   validity=Validity.VALID if n else Validity.INVALID, p99_ms=10.0 + n,
                   ok_per_second=50.0)
        for n, name in enumerate(("article", "insert_first")) for n in range(3)
    ]  # fmt: skip
    for name, figures in (
        ("percentiles", percentiles_figures([("before", bundle), ("after", bundle)])),
        ("price", price_figures(["article", "insert_first", "idle"], cells)),
        ("nothing", price_figures(["article"], [])),
        ("none", percentiles_figures([("before", World().bundle()), ("after", bundle)])),
    ):
        first = [path.read_bytes() for path in write(tmp_path / "a", name, figures, salt="s")]
        again = [path.read_bytes() for path in write(tmp_path / "b", name, figures, salt="s")]
        assert first == again


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (0.8, 12.5, [1, 2, 5, 10]),
        (4.0, 6.3, [4, 5, 6]),
        (0.08, 1_250, [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1_000]),
        (0.0008, 1e9, [0.001, 0.1, 10, 1_000, 1e5, 1e7, 1e9]),
    ],
)
def test_a_log_axis_has_ticks_that_a_person_would_choose(
    lower: float, upper: float, expected: list[float]
) -> None:
    assert log_ticks(lower, upper, 10) == pytest.approx(expected)


def test_every_log_axis_has_a_tick() -> None:
    for step in range(-60, 120):
        lower = 10 ** (step / 10)
        assert 1 <= len(log_ticks(lower, lower * 1.25**2, 10)) <= 10


def test_labels_at_line_ends_never_hide_each_other() -> None:
    for places in itertools.product((0.0, 0.02, 0.5, 0.97, 1.0), repeat=3):
        moved = spread(sorted(places), 0.1)
        assert all(after - before > 0.0999 for before, after in itertools.pairwise(moved))
        assert moved[-1] <= 1.0


def test_every_character_that_is_left_has_a_glyph() -> None:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    everything = "".join(map(chr, range(0x10000)))
    for weight in ("normal", "bold"):
        glyphs = FT2Font(findfont(f"DejaVu Sans:{weight}")).get_charmap()
        assert {char for char in printable(everything) if ord(char) not in glyphs} == set()
    for text in ("article × 2 → ✗ ≠ 5 µs … ━╌ Ünïcode Заказ", "$x$"):
        assert printable(text) == text
    assert printable("名\x00\u202e") == "\ufffd" * 3


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0, "0 µs"), (0.0123, "12.3 µs"), (0.5, "0.5 ms"), (12.345, "12.3 ms"), (999.4, "999 ms"),
     (1_000, "1 s"), (1_234, "1.23 s"), (86_400_000, "86,400 s")],
)  # fmt: skip
def test_a_latency_is_told_in_three_digits(ms: float, words: str) -> None:
    assert ms_words(ms) == words
