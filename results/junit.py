"""junit.xml: one suite per run, one case per judged code, so that any CI can show a verdict.

A broken promise is a `failure` and carries the counterexample; a missed SLO is a case of its own.
A run that proved nothing is an `error`, never skipped: skipped tests are green; what it did not
find is skipped there, since not even that is a pass. Codes that could not be judged are skipped
cases, since no verdict rests on them. Characters that XML forbids become
U+FFFD.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from results.run_folder import write_whole
from results.steps import Timeline
from results.verdict import Validity, Verdict
from results.wording import bound_words, coverage_rows, promise_rows

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MESSAGES_MAX = 20  # anomalies of one code that are written out


def write_junit(path: Path, runs: Sequence[tuple[Verdict, Sequence[Timeline]]]) -> Path:
    """Write all runs as one JUnit file."""
    root = ET.Element("testsuites", name="onceproof")
    for verdict, timelines in runs:
        root.append(_suite(verdict, timelines))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root)
    write_whole(path, ET.tostring(root, encoding="utf-8", xml_declaration=True))
    return path


def timeline_text(timeline: Timeline) -> str:
    """A counterexample in plain text: the numbered steps, then the prose."""
    lines = [
        f"{step.number:>3} {timeline.offset_ms(step):>9.1f} ms  {step.lane:<10} {step.text}"
        + (f"  <- {step.answer}" if step.answer else "")
        for step in timeline.steps
    ]
    return "\n".join([*lines, "", *timeline.prose])


def _suite(verdict: Verdict, timelines: Sequence[Timeline]) -> ET.Element:
    name = f"{verdict.scenario}.{verdict.strategy}"
    suite = ET.Element("testsuite", name=_clean(name))
    properties = ET.SubElement(suite, "properties")
    facts = [
        ("run", verdict.run_id),
        ("seed", str(verdict.seed)),
        ("strategy", verdict.strategy),
        ("provider", verdict.provider),
        ("verdict", verdict.validity.value),
        ("bound", bound_words(verdict.coverage)),
        *coverage_rows(verdict.coverage),
    ]
    for key, value in facts:
        ET.SubElement(properties, "property", name=_clean(key), value=_clean(value))
    listed = verdict.by_code()
    for row in promise_rows(verdict):
        case = ET.SubElement(suite, "testcase", classname=_clean(name), name=row.name)
        if row.status == "found":
            shown = [timeline_text(item) for item in timelines if item.code == row.name]
            messages = [item.message for item in listed.get(row.code, [])[:MESSAGES_MAX]]
            failure = ET.SubElement(case, "failure", type=row.code, message=_clean(row.words))
            failure.text = _clean("\n\n".join([*messages, *shown]))
        elif row.status == "skipped":
            ET.SubElement(case, "skipped", message=_clean(row.words))
        elif verdict.validity is Validity.UNKNOWN:
            ET.SubElement(case, "skipped", message="not found, in a run that proves nothing")
    for result in verdict.slos:
        title = f"slo {result.slo.words}"
        case = ET.SubElement(suite, "testcase", classname=_clean(name), name=title)
        if not result.met:
            ET.SubElement(case, "failure", type="slo", message=_clean(result.words))
    if verdict.validity is Validity.UNKNOWN:
        case = ET.SubElement(suite, "testcase", classname=_clean(name), name="coverage")
        error = ET.SubElement(case, "error", type="unknown", message=_clean(verdict.sentence))
        error.text = _clean("\n".join(f"{one.message} {one.knob}" for one in verdict.doubts))
    for key, tag in (("tests", "testcase"), ("failures", "testcase/failure"),
                     ("errors", "testcase/error"), ("skipped", "testcase/skipped")):  # fmt: skip
        suite.set(key, str(len(suite.findall(tag))))
    return suite


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
