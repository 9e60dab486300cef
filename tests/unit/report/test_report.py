"""Chart, report, JUnit and summary: valid files, everything escaped, no network."""

import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace
from race import bundle, calls, manifest, statements, verdict
from rich.console import Console

from results.anomalies.catalogue import CATALOGUE
from results.charts import CHARTS, draw_charts
from results.charts.style import ON_A_PAGE
from results.junit import write_junit
from results.latency import Second
from results.report import write_demo_report, write_report
from results.run_folder import RunFolder
from results.summary import latency_chart, markdown_summary, verdict_table
from results.timeline import counterexamples
from results.verdict import Validity

EVIL = "</title></pre><script>alert(1)</script><img src=http://127.0.0.1:9/x>'\"&]]>|`$x$\x00"
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = RunFolder.create(tmp_path_factory.mktemp("runs"), manifest())
    draw_charts(bundle(swarm=60), verdict(), counterexamples(bundle(), verdict()), run.charts)
    return run


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        names = ("src", "href", "xlink:href", "data", "action")
        self.links += [value for name, value in attrs if name in names]


def hostile():
    traces = [replace(item, sql=(f"SELECT 1 FROM orders -- {EVIL}",)) for item in statements()]
    shipped = [replace(item, effect_id=f"{EVIL}{item.call_id}", key=EVIL) for item in calls()]
    return bundle(statements=tuple(traces), calls=tuple(shipped), manifest=manifest(title=EVIL))


def hostile_verdict(validity=Validity.INVALID):
    return verdict(validity, title=EVIL, strategy=EVIL, scenario=EVIL, sentence=EVIL)


def test_the_report_has_the_verdict_the_promises_and_the_counterexample(folder):
    timelines = counterexamples(bundle(), verdict())
    html = write_report(folder, verdict(), timelines).read_text()
    assert "article breaks its promise: 1 × duplicate-shipment" in html
    assert "contradiction with S1" in html
    assert "not judged: not written yet" in html
    assert html.count('<svg class="card"') == 1
    assert "retry-amplification" in html


def test_the_report_asks_for_nothing_outside_itself(folder):
    page = Tags(write_report(folder, verdict(), counterexamples(bundle(), verdict())).read_text())
    assert not {"script", "link", "iframe", "img", "object"}.intersection(page.tags)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)


def test_the_report_shows_every_chart_once_and_folds_what_is_not_for_everyone(folder):
    html = write_report(folder, verdict(), counterexamples(bundle(), verdict())).read_text()
    drawn = (*CHARTS, "kills")
    assert html.count('<svg role="img"') == len(drawn) - 1  # the counterexample is the card
    folded = [part.split("</details>")[0] for part in html.split("<details>")[1:]]
    assert [part.count("<svg") for part in folded] == [1, 1, 1, 0]
    assert "How slow the slowest were" in folded[1]
    assert len(html) < 400_000


def test_the_charts_of_a_report_take_its_colours_and_share_no_id(folder, tmp_path):
    other = RunFolder.create(tmp_path, manifest(run_id="another"))
    draw_charts(bundle(swarm=60, manifest=manifest(run_id="another")), verdict(), (), other.charts)
    entries = [(folder, verdict(), ()), (other, verdict(), ())]
    html = write_demo_report(entries, tmp_path / "two.html").read_text()
    drawn = html[html.index("<main>") :]
    assert not [colour for colour in ON_A_PAGE if colour in drawn]
    assert all(f"{name}:" in html for name in re.findall(r"var\((--[a-z-]+)\)", drawn))
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert len(ids) == len(set(ids)) > 20
    assert set(re.findall(r"url\(#([^)]+)\)", drawn)) <= set(ids)


def test_hostile_strings_are_text_in_report_chart_and_svg(tmp_path):
    run = RunFolder.create(tmp_path, manifest(title=EVIL, environment={EVIL: [EVIL]}))
    judged = hostile_verdict()
    stories = counterexamples(hostile(), judged)
    draw_charts(hostile(), judged, stories, run.charts)
    html = write_report(run, judged, stories).read_text()
    for chart in CHARTS:
        assert ET.parse(run.charts / f"{chart}.svg").getroot().tag.endswith("svg")
    page = Tags(html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "&lt;script&gt;" in html


def test_an_unknown_run_says_why_and_names_the_knob(folder):
    html = write_report(folder, verdict(Validity.UNKNOWN), ()).read_text()
    assert "Why this proves nothing yet" in html
    assert "More copies." in html


def test_the_demo_report_shows_every_run_in_one_file(folder, tmp_path):
    entries = [
        (folder, verdict(), counterexamples(bundle(), verdict())),
        (folder, verdict(Validity.VALID, strategy="insert_first"), ()),
    ]
    html = write_demo_report(entries, tmp_path / "demo.html", "The demo").read_text()
    assert "<h1>The demo</h1>" in html
    assert html.count("<article") == 2
    assert "insert_first kept every promise in 312 proven exposures" in html
    assert "&lt; 0.96% of 312" in html


def test_a_run_without_charts_has_a_report_all_the_same(tmp_path):
    run = RunFolder.create(tmp_path, manifest())
    html = write_report(run, verdict(Validity.UNKNOWN), ()).read_text()
    assert "<svg" not in html


def test_junit_has_a_failure_an_error_and_no_forbidden_character(tmp_path):
    guilty, doubtful = hostile_verdict(), hostile_verdict(Validity.UNKNOWN)
    runs = [(guilty, counterexamples(hostile(), guilty)), (doubtful, ())]
    root = ET.parse(write_junit(tmp_path / "junit.xml", runs)).getroot()
    assert (root.get("failures"), root.get("errors")) == ("1", "1")
    failure = root.find(".//testcase[@name='duplicate-shipment']/failure")
    assert "contradiction with S1" in failure.text
    assert len(root.findall("testsuite")[0].findall("testcase")) == len(CATALOGUE)
    assert all(len(case) for case in root.findall("testsuite")[1].findall("testcase")), "green"
    names = {item.get("name") for item in root.iter("property")}
    assert {"seed", "strategy", "orders"} <= names


def test_the_summary_is_markdown_without_live_html():
    judged = hostile_verdict()
    text = markdown_summary([(judged, counterexamples(hostile(), judged))])
    assert "<script" not in text
    assert "<img" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace(r"\|", "").count("|") for line in rows} == {8}


def test_the_verdict_table_has_a_line_for_each_run():
    out = io.StringIO()
    runs = [(manifest(), verdict()), (manifest(strategy="naive"), verdict(Validity.UNKNOWN))]
    Console(file=out, width=120).print(verdict_table(runs))
    assert "✗ invalid" in out.getvalue()
    assert "no overlap" in out.getvalue()
    assert "1 / 1 / 1 / 1" in out.getvalue()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed")
def test_the_report_opens_in_a_browser_without_a_request(folder, tmp_path):
    report = write_report(folder, verdict(), counterexamples(bundle(), verdict()))
    picture, log = tmp_path / "shot.png", tmp_path / "net.json"
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        "--disable-features=NetworkTimeServiceQuerying"
    )
    arguments = [
        *flags.split(),
        "--host-resolver-rules=MAP * ~NOTFOUND",  # the browser's own services stay at home too
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--log-net-log={log}",
        f"--screenshot={picture}",
    ]
    try:
        subprocess.run(
            [str(CHROMIUM), *arguments, report.as_uri()],
            check=True,
            timeout=60,
            capture_output=True,
        )
    finally:
        shutil.rmtree(tmp_path / "profile", ignore_errors=True)
    assert picture.read_bytes().startswith(b"\x89PNG")
    asked = set(re.findall(r'"url":"(https?://[^/"]+)', log.read_text(errors="replace")))
    own = {url for url in asked if url.endswith((".google.com", ".googleapis.com"))}
    assert asked == own  # chromium's own services, if anything; nothing that the page names


def test_the_summary_has_a_chart_where_there_is_something_to_draw() -> None:
    seconds = [
        Second(second=n, ok=1, info=0, fail=0, p50_ms=1.0, p99_ms=9.5, max_ms=9.5) for n in (0, 1)
    ]
    assert "line [9.5, 9.5]" in latency_chart(seconds)
    assert latency_chart(seconds[:1]) == ""
