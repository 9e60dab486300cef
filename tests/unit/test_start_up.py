"""What `onceproof --help` must not wait for."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"aiohttp", "asyncio", "asyncpg", "jinja2", "kubernetes", "locust", "matplotlib", "polars",
         "psutil", "rich", "structlog", "uvloop"}  # fmt: skip
SHOW = """
import sys
from scenarios.engine.cli import main
sys.argv[1:] = ["--help"]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"Usage:" in done.stdout
    imported = set(done.stderr.decode().split())
    assert "scenarios.engine.cli" in imported
    assert not imported & HEAVY
