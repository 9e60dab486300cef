"""The charts' colours, as people see them who lack one kind of cone, on light and on dark pages.

Machado, Oliveira and Fernandes (2009) give for each kind a matrix on linear light; the distance of
two colours is that of CIELAB, in which about 2 can just be told and 20 cannot be overlooked.
"""

import itertools
import math
import re
from pathlib import Path

import pytest

from results.charts import heatmap, style
from results.charts.style import AMBER, AMBER_INK, BLUE, BROKEN, INK, MUTED, PAPER, SKY, VIOLET

SEEN = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no green": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "no blue": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE = (0.95047, 1.0, 1.08883)
TOGETHER = {
    "timeline": (BLUE, SKY, AMBER, VIOLET),
    "latency": (BLUE, AMBER, VIOLET),
    "generator": (MUTED, SKY, BLUE, AMBER),
    "price": (BLUE, BROKEN),
}
CSS = (Path(style.__file__).parents[1] / "templates" / "report.css").read_text()


def times(matrix: tuple[tuple[float, ...], ...], vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def light(colour: str) -> tuple[float, ...]:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)


def lab(colour: str, seen: str) -> tuple[float, float, float]:
    rgb = tuple(min(1.0, max(0.0, part)) for part in times(SEEN[seen], light(colour)))
    x, y, z = (
        math.cbrt(part / white) if part / white > 0.008856 else 7.787 * part / white + 16 / 116
        for part, white in zip(times(TO_XYZ, rgb), WHITE, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def on_dark(colour: str) -> str:
    """What the report puts in its place on a dark page."""
    variable = re.fullmatch(r"var\((--[a-z-]+)\)", style.ON_A_PAGE.get(colour, ""))
    if variable is None:
        return colour
    dark = CSS[CSS.index("prefers-color-scheme: dark") :]
    found = re.search(rf"{variable[1]}: (#[0-9a-f]{{6}})", dark)
    assert found is not None, variable[1]
    return found[1]


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("chart", TOGETHER)
def test_no_two_colours_of_a_chart_are_alike(chart: str, seen: str) -> None:
    for colours in (TOGETHER[chart], tuple(map(on_dark, TOGETHER[chart]))):
        for one, other in itertools.combinations(colours, 2):
            assert math.dist(lab(one, seen), lab(other, seen)) > 20, (one, other)


def test_the_page_has_the_colours_of_the_files_in_its_light() -> None:
    for colour, variable in style.ON_A_PAGE.items():
        if variable.startswith("var(--chart"):
            assert f"{variable[4:-1]}: {colour};" in CSS


@pytest.mark.parametrize("seen", SEEN)
def test_more_deliveries_are_always_a_lighter_cell(seen: str) -> None:
    brightness = [lab(colour, seen)[0] for colour in heatmap.COLOURS]
    assert all(after - before > 5 for before, after in itertools.pairwise(brightness))


@pytest.mark.parametrize("ink", [INK, BROKEN, AMBER_INK, BLUE, VIOLET])
def test_words_can_be_read_on_their_page(ink: str) -> None:
    dark = "#e8e9eb" if ink == INK else on_dark(ink)  # ink is the page's currentColor
    for words, page in ((ink, PAPER), (dark, "#1d2024")):
        bright, dim = sorted((times(TO_XYZ, light(c))[1] for c in (words, page)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) > 4.2
