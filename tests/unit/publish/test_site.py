"""The site: self-contained, what differs first, no dead link, nobody else's page overwritten."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from results import site_files
from results.errors import ConfigError, HarnessError
from results.expectation import State
from results.measures import read_measures
from results.run_folder import RunFolder
from results.site import Entry, MatrixPart, Publication, Published, Table, Tile, write_site
from results.verdict import Validity
from scenarios.engine.publish import gather
from tests.unit.publish.stored import (
    guilty,
    innocent,
    line,
    stored_matrix,
    stored_run,
)

ROOT = Path(__file__).resolve().parents[3]
EVIL = "</title></style><script>alert(1)</script><img src=http://127.0.0.1:9/x>'\"&{{7*7}}"


class Page(HTMLParser):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.red: list[str] = []
        self.text = file.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.links.append(value or "")
            if name == "class" and "differs" in (value or "").split():
                self.red.append(tag)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One matrix as expected, one in which the article is innocent and naive could not run."""
    root = tmp_path_factory.mktemp("runs")
    stored_matrix(root / "matrix-fine", {"article": guilty(), "insert_first": innocent()})
    cells = {"article": innocent("article"), "naive": None, "insert_first": innocent()}
    stored_matrix(root / "matrix-odd", cells)
    stored_run(root, guilty(seed=5))
    return root


def publish(runs: Path, site: Path, *results: str, commit: str = "a" * 40) -> Published:
    return write_site(site, gather(results, commit, runs))


def trend_of(site: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in (site / "trend.jsonl").read_text().splitlines()]


def test_a_matrix_as_expected_is_published_without_a_red_word(runs: Path, tmp_path: Path) -> None:
    published = publish(runs, tmp_path / "site", "matrix-fine")
    page = Page(published.index)
    assert published.headline == "2 results, each as expected"
    assert page.red == []
    assert "insert_first: kept every promise; article: broke a promise" in page.text
    assert "✗ A1 A8" in page.text
    article, right = trend_of(tmp_path / "site")
    assert (article["validity"], article["state"], article["expected"]) == (
        "invalid", "as expected", "A1 A8 (A5)",
    )  # fmt: skip
    assert article["codes"] == {"A1": 20, "A8": 20}
    assert (article["reference"], right["reference"]) == ("insert_first", "insert_first")
    assert article["p50"]["value_ms"] == 2 * right["p50"]["value_ms"] == 16.0
    assert article["at_utc"] == "2026-01-02T03:04:05+00:00"
    assert 15 < right["deliveries_per_second"] < 25
    (p50, _) = json.loads((tmp_path / "site" / "benchmark.json").read_text())
    assert (p50["value"], p50["unit"]) == (2.0, "× insert_first")


def test_what_differs_comes_first_and_is_the_only_red(runs: Path, tmp_path: Path) -> None:
    published = publish(runs, tmp_path / "site", "matrix-odd", "latest")
    page = Page(published.index)
    assert published.headline == "1 of 4 results not as expected"
    assert page.red == ["section", "td", "td"]
    order = [page.text.index(words) for words in
             ("Not as expected", "Proved nothing", "Trend over commits")]  # fmt: skip
    assert order == sorted(order)
    assert "valid instead of invalid; A1 was not found; A8 was not found" in page.text
    assert "The run failed: no Postgres" in page.text
    states = {
        one["strategy"] + str(one["seed"]): one["state"] for one in trend_of(tmp_path / "site")
    }
    assert states == {"article1": "differs", "naive1": "unknown", "insert_first1": "as expected",
                      "article5": "not in the table"}  # fmt: skip


def test_the_page_needs_nothing_outside_and_has_no_dead_link(runs: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    page = Page(publish(runs, site, "matrix-odd", "latest").index)
    assert not {"script", "link", "iframe", "img", "object"}.intersection(page.tags)
    assert "default-src 'none'" in page.text
    files = [link for link in page.links if not link.startswith("#")]
    assert sum(link.endswith("report.html") for link in files) >= 6  # tiles, lists, every result
    assert all((site / link).is_file() for link in files)
    assert not re.search(r"(https?:)?//(?!www\.w3\.org)", page.text)
    assert len(list(site.glob("runs/*/report.html"))) == 3
    assert len(list(site.glob("runs/*/charts/timeline.png"))) == 3
    assert str(runs) not in page.text


def test_a_verdict_that_changed_is_told(runs: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    publish(runs, site, "matrix-fine", commit="1" * 40)
    same = publish(runs, site, "matrix-fine", commit="2" * 40)
    assert same.changes == ()
    assert "No verdict changed." in same.index.read_text()
    fallen = publish(runs, site, "matrix-odd", commit="3" * 40)
    sentence = "article × storm (honours, seed 1): valid (differs), was invalid A1 A8 at 2222222"
    assert [change.sentence for change in fallen.changes] == [sentence]
    assert sentence in fallen.index.read_text()
    assert sentence in (site / "summary.md").read_text()
    before = trend_of(site)
    again = publish(runs, site, "matrix-odd", commit="3" * 40)
    assert trend_of(site) == before
    assert again.changes == fallen.changes
    assert len(list(site.glob("runs/*/report.html"))) == 2  # those of the newest alone


def test_a_slim_run_has_the_figures_that_it_had(tmp_path: Path) -> None:
    for name, slim in (("slim", True), ("whole", False)):
        cells = {"article": guilty(), "insert_first": innocent()}
        stored_matrix(tmp_path / f"matrix-{name}", cells, slim=slim)
        publish(tmp_path, tmp_path / name, f"matrix-{name}")
    assert trend_of(tmp_path / "slim") == trend_of(tmp_path / "whole")
    for verdict in (tmp_path / "matrix-whole").glob("slot-0/2*/measures.json"):
        verdict.unlink()  # a run of an older version: measured from its history
    publish(tmp_path, tmp_path / "again", "matrix-whole")
    assert trend_of(tmp_path / "again") == trend_of(tmp_path / "whole")


def test_a_slim_run_without_measures_is_published_without_latencies(tmp_path: Path) -> None:
    folder = stored_matrix(tmp_path / "matrix-1", {"insert_first": innocent()})
    (measures,) = folder.glob("slot-0/2*/measures.json")
    measures.write_text("{")
    assert read_measures(measures) is None
    publish(tmp_path, tmp_path / "site", "matrix-1")
    (only,) = trend_of(tmp_path / "site")
    assert (only["p50"], only["deliveries_per_second"]) == (None, None)
    assert only["at_utc"] == "2026-01-02T03:04:05+00:00"


def test_what_is_too_large_is_left_out_and_told(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_files, "ALL_MAX_BYTES", 300_000)
    monkeypatch.setattr(site_files, "FILE_MAX_BYTES", 100_000)
    published = publish(runs, tmp_path / "site", "matrix-fine", "latest", "matrix-odd")
    page = Page(published.index)
    (note,) = published.notes[2:]
    assert "files were not copied, for a file may have 0 MiB" in note
    assert note in page.text
    copied = [file for file in (tmp_path / "site" / "runs").rglob("*") if file.is_file()]
    assert 0 < sum(file.stat().st_size for file in copied) <= 300_000
    reports = [link for link in page.links if link.endswith("report.html")]
    assert all((tmp_path / "site" / link).is_file() for link in reports)
    first = min(reports, key=page.text.index)
    assert "storm-article-1" in first  # what differs was copied before anything else


def test_a_link_in_a_runs_folder_is_not_followed(tmp_path: Path) -> None:
    folder = stored_run(tmp_path / "runs", innocent())
    (tmp_path / "secret").write_text("hush")
    folder.report.unlink()
    folder.report.symlink_to(tmp_path / "secret")
    published = publish(tmp_path / "runs", tmp_path / "site", "latest")
    assert "report.html" not in published.index.read_text()
    assert not list((tmp_path / "site").glob("**/report.html"))


def test_a_cell_that_is_given_twice_counts_once(runs: Path, tmp_path: Path) -> None:
    published = publish(runs, tmp_path / "site", "matrix-odd", "matrix-fine")
    assert published.headline == "3 results: 1 valid, 1 invalid, 1 unknown"
    assert [note for note in published.notes if "was given more than once" in note] == [
        "article × storm (honours, seed 1) was given more than once: the last one counts.",
        "insert_first × storm (honours, seed 1) was given more than once: the last one counts.",
    ]
    assert [one["state"] for one in trend_of(tmp_path / "site")] == [
        "unknown", "as expected", "as expected",
    ]  # fmt: skip


@pytest.mark.parametrize("taken", ["index.html", "runs"])
def test_somebody_elses_folder_is_refused_and_left_alone(
    runs: Path, tmp_path: Path, taken: str
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    if taken == "runs":
        (site / "runs").mkdir()
        (site / "runs" / "mine").write_text("mine")
    else:
        (site / "index.html").write_text("<h1>mine</h1>")
    before = sorted(site.rglob("*"))
    with pytest.raises(ConfigError, match="another --site"):
        publish(runs, site, "matrix-fine")
    assert sorted(site.rglob("*")) == before
    with pytest.raises(ConfigError, match="another --site"):
        publish(runs, before[0] if before[0].is_file() else before[-1], "matrix-fine")


def test_a_site_that_cannot_be_written_is_the_harness_at_fault(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="choose another --site"):
        publish(runs, tmp_path / "file" / "site", "matrix-fine")


def test_hostile_names_are_text(tmp_path: Path) -> None:
    wrong = {"validity": Validity.INVALID, "state": State.DIFFERS, "codes": {EVIL: 1}}
    evil = line("a", EVIL, scenario=EVIL, provider=EVIL, expected=EVIL, reference=EVIL, **wrong)
    tile = Tile(text=EVIL, state=State.DIFFERS, run=None)
    table = Table(title=EVIL, columns=(EVIL,), rows=((EVIL, (tile, None)),))
    part = MatrixPart(title=EVIL, counts=EVIL, tables=(table,), pictures=(tmp_path / EVIL[2:5],))
    publication = Publication(
        commit="a", onceproof=EVIL, matrices=(part,), notes=(EVIL,),
        entries=(Entry(line=evil, run=None, words=EVIL),),
    )  # fmt: skip
    page = Page(write_site(tmp_path / "site", publication).index)
    assert not {"script", "img"}.intersection(page.tags)
    assert "&lt;script&gt;" in page.text
    assert "{{7*7}}" in page.text
    assert "<script" not in (tmp_path / "site" / "summary.md").read_text()


def onceproof(cwd: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_SHA"}
    return subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "publish", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=120,
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
    )  # fmt: skip


def test_the_command_publishes_and_goes_on_after_a_torn_trend(runs: Path, tmp_path: Path) -> None:
    given = [str(runs / "matrix-fine"), "latest", "--runs", str(runs), "--site", "site"]
    done = onceproof(tmp_path, *given, GITHUB_SHA="1" * 40)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 results: 1 valid, 2 invalid" in done.stdout
    assert "site: site/index.html" in done.stdout
    file = tmp_path / "site" / "trend.jsonl"
    file.write_bytes(file.read_bytes()[:-30])

    again = onceproof(tmp_path, *given, "--commit", "2" * 40, GITHUB_SHA="3" * 40)
    assert again.returncode == 0
    assert "note: 1 line of trend.jsonl could not be read and was left out (line 3" in again.stderr
    commits = [str(one["commit"])[0] for one in trend_of(tmp_path / "site")]
    assert commits == ["1", "1", "2", "2", "2"]
    assert "1 line of trend.jsonl" in (tmp_path / "site" / "index.html").read_text()


def test_the_commit_is_asked_of_git(runs: Path, tmp_path: Path) -> None:
    given = ["matrix-fine", "--runs", str(runs), "--site", "site"]
    unknown = onceproof(tmp_path, *given, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (254, False)
    assert "--commit" in unknown.stderr
    for words in (["init", "-q"], ["-c", "user.name=n", "-c", "user.email=e@127.0.0.1", "commit",
                                   "-q", "--allow-empty", "-m", "first"]):  # fmt: skip
        subprocess.run(["git", *words], cwd=tmp_path, check=True, timeout=30)
    known = onceproof(tmp_path, *given)
    assert known.returncode == 0, known.stderr
    assert re.fullmatch(r"[0-9a-f]{40}", str(trend_of(tmp_path / "site")[0]["commit"]))


@pytest.mark.parametrize(
    ("results", "more", "expected"),
    [
        (["matrix-9"], [], "There is no run and no matrix 'matrix-9'"),
        ([], [], "RESULT..."),
        (["latest"], ["--commit", "../$(x)"], "There is no commit"),
        (["begun"], [], "was not finished"),
        (["broken"], [], "cannot be read"),
        (["newer"], [], "has format 99"),
        (["unjudged"], [], "cannot be read"),
    ],
)
def test_a_wrong_result_is_status_254_and_one_sentence(
    runs: Path, tmp_path: Path, results: list[str], more: list[str], expected: str
) -> None:
    for name in ("begun", "broken", "newer"):
        (tmp_path / name).mkdir()
    (tmp_path / "begun" / "cells.jsonl").touch()
    (tmp_path / "broken" / "matrix.json").write_text('{"cells": 3}')
    matrix = json.loads((runs / "matrix-fine" / "matrix.json").read_text())
    (tmp_path / "newer" / "matrix.json").write_text(json.dumps({**matrix, "format_version": 99}))
    shutil.copytree(stored_run(tmp_path, innocent()).path, tmp_path / "unjudged")
    RunFolder(tmp_path / "unjudged").verdict.write_text("{")
    done = onceproof(ROOT, *results, "--runs", str(tmp_path), "--site", str(tmp_path / "s"), *more)
    assert (done.returncode, "Traceback" in done.stderr) == (254, False)
    assert expected in done.stderr
    assert not (tmp_path / "s").exists()
