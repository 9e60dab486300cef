"""What `onceproof doctor` says of a service that nobody here wrote, and `onceproof init` begins."""

from pathlib import Path

import pytest

from scenarios.engine.checkup import Finding, check_up
from scenarios.engine.config import load_config
from tests.e2e.stranger import CONFIG, WEB, write_stranger
from tests.e2e.test_cli import onceproof


async def looked_at(folder: Path, how: str, config: str = CONFIG) -> list[Finding]:
    return await check_up(load_config(write_stranger(folder / "service", config=config)), how)


async def test_a_service_that_is_right_is_well_in_every_step(tmp_path: Path) -> None:
    found = await looked_at(tmp_path, "right")
    assert [name for name, _, _ in found] == [
        "schema", "start", "ledger", "forged", "wire", "delivery", "witness", "again",
    ]  # fmt: skip
    assert all(ok for _, ok, _ in found), found
    assert "one effect in the ledger" in found[5][2]
    assert "before it works" not in found[5][2]
    assert found[7][2].endswith("status 200, no effect")


async def test_a_second_effect_is_told_and_is_the_runs_to_judge(tmp_path: Path) -> None:
    found = await looked_at(tmp_path, "twice")
    assert found[-1] == ("again", True, "the same delivery once more: status 200, effect again")


async def test_an_answer_before_the_work_is_told(tmp_path: Path) -> None:
    found = {name: detail for name, _, detail in await looked_at(tmp_path, "late")}
    assert "It answers before it works: declare its `inbox`" in found["delivery"]


NO_SUCH_COLUMN = CONFIG.replace("order_id, status FROM", "order_id, state AS status FROM")
ELSEWHERE = CONFIG.replace('webhook = "/paid"', 'webhook = "/hooks"')
NO_SCHEMA = CONFIG.replace("schema.py", "nothing.py")


@pytest.mark.parametrize(
    ("how", "config", "step", "words"),
    [
        ("right", NO_SCHEMA, "schema", "schema command failed"),
        ("never-ready", CONFIG, "start", "GET /ready got 503"),
        ("exits", CONFIG, "start", "no licence was found"),
        ("right", NO_SUCH_COLUMN, "ledger", 'column "state" does not exist'),
        ("unsigned", CONFIG, "forged", "does not check signatures"),
        ("other-secret", CONFIG, "delivery", "signature is not accepted. Check signature ="),
        ("right", ELSEWHERE, "delivery", 'webhook = "/hooks"'),
        ("broken", CONFIG, "delivery", "RuntimeError: it is broken"),
        ("hangs", CONFIG, "delivery", "the database still runs 'SELECT pg_sleep(60)'"),
        ("past-the-wire", CONFIG, "delivery", "2 sessions of the database did not come through"),
        ("idle", CONFIG, "delivery", "it uses another database"),
    ],
)  # fmt: skip
async def test_the_first_step_that_fails_says_what_to_change(
    tmp_path: Path, how: str, config: str, step: str, words: str
) -> None:
    found = await looked_at(tmp_path, how, config)
    assert [name for name, ok, _ in found if not ok] == [step]
    assert found[-1][0] == step
    assert words in found[-1][2]


def test_init_writes_a_file_that_can_be_read_and_never_overwrites(tmp_path: Path) -> None:
    assert onceproof("init", cwd=tmp_path).returncode == 0
    file = tmp_path / "onceproof.toml"
    assert load_config(file).service.name == "my-service"
    file.write_text("mine")
    again = onceproof("init", str(tmp_path))
    assert (again.returncode, file.read_text()) == (254, "mine")
    assert "is there already" in again.stderr


def test_every_line_of_the_template_is_one_that_can_be_used(tmp_path: Path) -> None:
    """Each example that is commented out is right as it stands, alone and with the others."""
    onceproof("init", cwd=tmp_path)
    file = tmp_path / "onceproof.toml"
    lines = file.read_text().splitlines()
    examples = [
        line[2:] for line in lines if line.startswith(("# ", "#[")) and ("=" in line or "[" in line)
        and not line.startswith(("# How", "# docs", "# The"))
    ]  # fmt: skip
    assert len(examples) > 12
    file.write_text("\n".join(line[2:] if line[2:] in examples else line for line in lines))
    (tmp_path / "paid.json").write_text('{"id": {{ order_id }}}')
    service = load_config(file).service
    assert service.environment["PGPORT"] == "{database_port}"
    assert service.seed is not None
    assert service.port == 3000


def test_the_doctor_shows_it_and_its_status_says_it(tmp_path: Path) -> None:
    config = write_stranger(tmp_path / "service", web=WEB.replace('HOW == "broken"', "True"))
    done = onceproof("doctor", "--config", str(config), HOME=str(Path.home()))
    assert done.returncode == 255
    assert "got 500" in done.stdout
