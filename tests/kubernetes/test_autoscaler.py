"""A real autoscaler on real CPU: up in a rush, down in the calm, and every delivery answered.

It takes metrics-server and four minutes, so it is for `make nightly-kubernetes`; where the cluster
measures no CPU the test says so and skips. A machine that is busy with something else has CPU for
neither traffic nor service: then the run is unknown, and the test fails with its reason.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.journal import read_journal
from results.records import FaultRecord, Outcome, Stage
from results.run_folder import RunFolder
from tests.kubernetes.conftest import Cluster

RUN_SECONDS = 600
NIGHTLY = bool(os.environ.get("ONCEPROOF_NIGHTLY"))


def is_measured() -> bool:
    """Whether the cluster measures CPU, by kubectl."""
    try:
        Cluster().kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1")
    except AssertionError:
        return False
    return True


def test_preflight_says_whether_an_autoscaler_would_see_cpu(image: str) -> None:
    name = f"onceproof-scaled-{secrets.token_hex(3)}"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("onceproof")), "preflight", "autoscaled",
         "--namespace", name, "--image", image, "--json"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    said = [(one["what"], one["ok"], one["detail"]) for one in json.loads(done.stdout)]
    ((ok, detail),) = [(ok, detail) for what, ok, detail in said if what == "metrics"]
    assert ok == is_measured(), detail
    assert ("makes", True, "HorizontalPodAutoscaler payment-processor-hpa") in said
    assert any("from 3 to 6 web pods" in detail for what, _, detail in said if what == "strikes")


@pytest.mark.skipif(not NIGHTLY, reason="NOT TRIED: for make nightly-kubernetes")
@pytest.mark.timeout(RUN_SECONDS)
def test_a_scale_down_under_load_loses_nothing(image: str, tmp_path: Path) -> None:
    if not is_measured():
        pytest.skip("THE AUTOSCALER WAS NOT TRIED: metrics.k8s.io does not answer")
    name = f"onceproof-scaled-{secrets.token_hex(3)}"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("onceproof")), "run", "autoscaled",
         "--on", "kubernetes", "--namespace", name, "--image", image, "--seed", "1",
         "--strategy", "insert_first", "--runs", str(tmp_path), "--json"],
        capture_output=True, text=True, timeout=RUN_SECONDS,
    )  # fmt: skip
    sys.stdout.write(done.stdout + done.stderr)  # shown if the test fails

    assert (json.loads(done.stdout)["validity"], done.returncode) == ("valid", 0)
    folder = RunFolder.find(tmp_path)
    (told,) = [
        one
        for one in read_journal(folder.journal)
        if isinstance(one, FaultRecord) and one.stage is Stage.EVIDENCE
    ]
    assert told.evidence is not None
    assert told.evidence.complete
    facts = told.evidence.facts
    assert facts["from"] == 3 < facts["peak"]
    assert facts["cpu_percent"] > 8  # as the autoscaler has seen it
    assert len(facts["exit_codes"]) >= facts["peak"] - 3
    down_ns = told.at_ns - int((facts["down_seconds"] - facts["up_seconds"]) * 1e9)
    under_way = [
        one for one in folder.load().history.deliveries
        if one.intent.intended_ns > down_ns and one.completion is not None
    ]  # fmt: skip
    assert len(under_way) > 50  # so that going away could have lost one
    assert [one for one in under_way if one.outcome is not Outcome.OK] == []
    assert Cluster().kubectl("get", "namespace", name, "--ignore-not-found") == ""
