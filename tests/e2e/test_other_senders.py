"""Services of other senders: their own signature, their own body, judged like any other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.swarm import ROOT
from results.run_folder import RunFolder
from tests.e2e.stranger import CONFIG, WEB, write_stranger

BODY = """{"id": "evt_{{ webhook_id }}", "object": "event", "api_version": "2025-03-31.basil",
 "data": {"object": {"amount": {{ amount_cents }}, "order": {{ order_id }},
                     "shop": "{{ shop }}", "lines": {{ lines | tojson }}}}}
"""
# As their receivers do it, written here by hand.
RECEIVERS = {
    "stripe": """
def genuine(secret, body, headers):
    given = dict(one.split("=", 1) for one in headers.get("Stripe-Signature", "").split(",")
                 if "=" in one)
    said = given.get("t", "").encode() + b"." + body
    return hmac.compare_digest(hmac.digest(secret, said, "sha256").hex(), given.get("v1", ""))
""",
    "github": """
def genuine(secret, body, headers):
    right = "sha256=" + hmac.digest(secret, body, "sha256").hex()
    return hmac.compare_digest(right, headers.get("X-Hub-Signature-256", ""))
""",
    "standard-webhooks": """
def genuine(secret, body, headers):
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret)
    right = b"v1," + base64.b64encode(hmac.digest(key, said, "sha256"))
    return hmac.compare_digest(right, headers.get("webhook-signature", "").encode())
""",
}
PAID = """async def paid(request):
    body = await request.read()
    if not genuine(os.environ["SECRET"].encode(), body, request.headers):
        return web.Response(status=400)
    told = json.loads(body)["data"]["object"]
    await work(request.app, told["shop"], {"id": told["order"], "line_items": told["lines"]})
    return web.Response()

async def unused(request):"""
SCENARIO = """
from scenarios import Burst, Mix, Scenario, Thresholds, Traffic

scenario = Scenario(
    title="A few duplicates, and forgeries", replicas=2,
    traffic=Traffic(orders=60, per_second=30, duplicates=Burst(copies=2, ids="distinct"),
                    mix=Mix(forged=0.4, again=0.2)),
    needs=Thresholds(overlapping_groups=10, lateness_p99_ms=2_000),
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sender", RECEIVERS)
def test_a_service_of_another_sender_is_judged(tmp_path: Path, sender: str) -> None:
    config = CONFIG.replace(
        "[service]\n", f'[service]\nsignature = "{sender}"\npayload = "paid.json"\n'
    )
    code = WEB.replace("async def paid(request):", RECEIVERS[sender] + PAID)
    file = write_stranger(tmp_path / "service", config=config, web=code)
    (file.parent / "paid.json").write_text(BODY)
    (tmp_path / "few.py").write_text(SCENARIO)
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.engine.cli", "run", str(tmp_path / "few.py"), "--config",
         str(file), "--seed", "3", "--runs", str(tmp_path / "runs")],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    folder = RunFolder.find(tmp_path / "runs")
    verdict = json.loads(folder.verdict.read_bytes())
    assert verdict["totals"] == {}
    assert "A15" not in {one["code"] for one in verdict["not_judged"]}  # forgeries were refused
