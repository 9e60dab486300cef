"""The expected table: how it is read, and when a cell equals it."""

from pathlib import Path

import pytest

from results.errors import ConfigError
from results.verdict import Validity
from scenarios.engine.catalog import load_scenario, shipped
from scenarios.engine.cells import Cell, CellResult
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.expected import ALL_VALID, Expectation, Expected, read_expected
from scenarios.engine.matrix_show import LONG_SECONDS

CELL = Cell(strategy="article", scenario="distinct_ids", provider="honours", seed=1)
VALID, INVALID, UNKNOWN = Validity.VALID, Validity.INVALID, Validity.UNKNOWN


def result(validity: Validity, codes: str = "", *, not_judged: tuple[str, ...] = ()) -> CellResult:
    return CellResult(
        cell=CELL, validity=validity, sentence="", totals=dict.fromkeys(codes.split(), 3),
        not_judged=not_judged,
    )  # fmt: skip


def expecting(must: str = "", may: str = "") -> Expectation:
    return Expectation(frozenset(must.split()), frozenset(may.split()))


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (expecting(), result(VALID)),
        (expecting("A1 A8"), result(INVALID, "A1 A8")),
        (expecting("A1", "A5 A8"), result(INVALID, "A1")),
        (expecting("A1", "A5 A8"), result(INVALID, "A8 A1")),
        (expecting("A1", "A5 A8"), result(INVALID, "A1 A5 A8")),
        (expecting("", "A2 A3"), result(VALID)),
        (expecting("", "A2 A3"), result(INVALID, "A3")),
    ],
)
def test_a_cell_equals_the_table(expected: Expectation, found: CellResult) -> None:
    assert expected.differences(found) == ()


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        (expecting(), result(INVALID, "A1"), ["invalid instead of valid", "A1 was found 3 times"]),
        (expecting("A1"), result(VALID), ["valid instead of invalid", "A1 was not found"]),
        (expecting("A1 A8"), result(INVALID, "A1"), ["A8 was not found"]),
        (expecting("A1", "A8"), result(INVALID, "A8"), ["A1 was not found"]),
        (expecting("A1", "A8"), result(INVALID, "A1 A5"), ["A5 was found 3 times"]),
        (expecting("", "A2 A3"), result(INVALID, "A2 A5"), ["A5 was found 3 times"]),
        (
            expecting("A1 A14"),
            result(INVALID, "A1", not_judged=("A14",)),
            ["A14 was not found: it was not judged"],
        ),
    ],
)
def test_every_difference_is_told(
    expected: Expectation, found: CellResult, said: list[str]
) -> None:
    told = expected.differences(found)
    assert len(told) == len(said)
    assert all(one.startswith(start) for one, start in zip(told, said, strict=True))


@pytest.mark.parametrize("expected", [expecting(), expecting("A1")])
def test_what_proved_nothing_contradicts_nothing(expected: Expectation) -> None:
    assert expected.differences(result(UNKNOWN)) == ()


def read(tmp_path: Path, text: str) -> Expected:
    (tmp_path / "expected.toml").write_text(text)
    return read_expected(tmp_path / "expected.toml")


def test_a_provider_can_have_a_row_of_its_own(tmp_path: Path) -> None:
    expected = read(
        tmp_path,
        '[distinct_ids]\narticle = "A1 A8 (A5 A10)"\n[distinct_ids.ignores]\narticle = "A2"\n',
    )
    ignoring = Cell(strategy="article", scenario="distinct_ids", provider="ignores", seed=9)
    honoured, ignored = expected.of(CELL), expected.of(ignoring)
    assert honoured == expecting("A1 A8", "A5 A10")
    assert ignored == expecting("A2")
    assert honoured is not None
    assert honoured.words == "A1 A8 (A5 A10)"
    assert (
        expected.of(Cell(strategy="x", scenario="distinct_ids", provider="honours", seed=1)) is None
    )


def test_a_table_can_be_as_one_above(tmp_path: Path) -> None:
    expected = read(
        tmp_path,
        '[one]\na = "valid"\nb = "A1"\nc = "A2"\n[one.ignores]\nb = "A3"\n'
        '[two]\nas = "one"\nc = "valid (A4)"\n[two.ignores]\nc = "A5"\n'
        '[three]\nas = "two"\n[three.ignores]\nas = "one"\na = "A6"\n',
    )
    words = {
        (scenario, provider): " ".join(
            row.words if row else "-"
            for row in (
                expected.of(Cell(strategy=name, scenario=scenario, provider=provider, seed=1))
                for name in "abc"
            )
        )
        for scenario in ("one", "two", "three")
        for provider in ("honours", "ignores")
    }
    assert words == {
        ("one", "honours"): "valid A1 A2",
        ("one", "ignores"): "valid A3 A2",
        ("two", "honours"): "valid A1 valid (A4)",
        ("two", "ignores"): "valid A3 A5",
        ("three", "honours"): "valid A1 valid (A4)",
        ("three", "ignores"): "A6 A1 A2",
    }


@pytest.mark.parametrize("above", ['"s"', '"later"', '""', "1"])
def test_a_table_can_be_as_none_but_one_above(tmp_path: Path, above: str) -> None:
    with pytest.raises(ConfigError, match=r"expected\.toml: s\.as: .*expected the name of a table"):
        read(tmp_path, f'[s]\nas = {above}\na = "A1"\n[later]\na = "A1"\n')


@pytest.mark.parametrize(
    "row",
    ['a = "A1,A8"', 'a = ""', 'a = "A99"', 'a = "A1 A1"', 'a = "A1 (A1)"', 'a = "(A1)"', "a = 1",
     'a = "VALID"', 'a = "valid A1"', 'a = "valid (A99)"', 'a = "valid ()"',
     '[s.nobody]\na = "A1"'],
)  # fmt: skip
def test_a_broken_row_is_named(tmp_path: Path, row: str) -> None:
    with pytest.raises(ConfigError, match=r"expected\.toml: s\.(a|nobody): "):
        read(tmp_path, f"[s]\n{row}\n")


def test_a_service_of_ones_own_is_expected_to_be_valid() -> None:
    anything = Cell(strategy="default", scenario="mine", provider="ignores", seed=4)
    assert ALL_VALID.of(anything) == expecting()
    assert not read_expected().of(anything)


def short(scenario: str) -> bool:
    """Whether a matrix runs it unasked."""
    found = load_scenario(scenario)[1]
    traffic = found.traffic
    return not found.only_in_clusters and traffic.orders / traffic.per_second <= LONG_SECONDS


def test_every_cell_of_the_matrix_is_in_the_shipped_table() -> None:
    strategies = load_config(OWN_CONFIG).strategies
    wanted = {(name, scenario) for name in strategies for scenario in shipped() if short(scenario)}
    lines = {(strategy, scenario) for strategy, scenario, _ in read_expected().rows}
    missing = sorted(wanted - lines)
    assert not missing, "strategy and scenario without a line in scenarios/expected.toml"


def test_the_shipped_table_names_what_there_is() -> None:
    strategies = load_config(OWN_CONFIG).strategies
    for strategy, scenario, _ in read_expected().rows:
        assert scenario in shipped()
        assert strategy in strategies
