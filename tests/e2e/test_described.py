"""How services are told of their database, their port and their orders, as seen in real ones."""

from pathlib import Path

import pytest

from cluster.ports import free_port
from results.errors import ConfigError
from scenarios.engine.checkup import check_up
from scenarios.engine.config import load_config
from tests.e2e.stranger import CONFIG, WEB, write_stranger

WITHOUT = CONFIG.replace('database_from = "DSN"\n', "")
PARTS = """[service.environment]
PGHOST = "{database_host}"
PGPORT = "{database_port}"
PGUSER = "{database_user}"
PGPASSWORD = "{database_password}"
PGDATABASE = "{database_name}"
[service.roles]"""
JDBC = """[service.environment]
JDBC = "jdbc:postgresql://{database_host}:{database_port}/{database_name}?user={database_user}&password=-"
[service.roles]"""
SETTINGS = (
    WITHOUT.replace('"schema.py"]', '"schema.py", "{settings}"]')
    .replace('"web.py"]', '"web.py", "{settings}"]')
    .replace("[service]\n", '[service]\nsettings = "settings.json"\n')
)
SEED = """INSERT INTO bought VALUES ('{shop}', {order_id}, 'pending')"""


@pytest.mark.parametrize(
    ("how", "config"),
    [
        ("right", WITHOUT.replace("[service.roles]", PARTS)),
        ("right", WITHOUT.replace("[service.roles]", JDBC)),
        ("right", SETTINGS),
        ("slow", CONFIG),
        ("needs-row", CONFIG.replace("[service]\n", f'[service]\nseed = "{SEED}"\n')),
    ],
    ids=["parts", "jdbc", "settings", "slow", "seed"],
)
async def test_it_is_told_in_its_own_way(tmp_path: Path, how: str, config: str) -> None:
    file = write_stranger(tmp_path / "service", config=config)
    (file.parent / "settings.json").write_text('{"url": "{{ database_url }}", "a": "{b}"}\n')
    found = await check_up(load_config(file), how)
    assert all(ok for _, ok, _ in found), found
    assert found[-1][2].endswith("no effect")
    assert [path.name for path in file.parent.glob("settings*")] == ["settings.json"]


async def test_a_service_with_a_port_of_its_own_runs_there_once(tmp_path: Path) -> None:
    port = free_port()
    config = CONFIG.replace("[service]\n", f'[service]\nport = {port}\nport_from = "IGNORED"\n')
    web = WEB.replace("FIXED = 0", f"FIXED = {port}")
    file = write_stranger(tmp_path / "service", config=config, web=web)
    found = await check_up(load_config(file), "right")
    assert all(ok for _, ok, _ in found), found


async def test_seed_sql_that_fails_is_told_with_a_statement_to_try(tmp_path: Path) -> None:
    config = CONFIG.replace("[service]\n", '[service]\nseed = "INSERT INTO nowhere VALUES (1)"\n')
    found = await check_up(
        load_config(write_stranger(tmp_path / "service", config=config)), "right"
    )
    assert found[-1][:2] == ("seed", False)
    assert 'relation "nowhere" does not exist' in found[-1][2]
    assert "Try it by hand" in found[-1][2]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (WITHOUT, "line 2: service.database_from: expected the variable"),
        (CONFIG.replace("[service]\n", '[service]\nsignature = "paypal"\n'), "line 3: service.sig"),
        (CONFIG.replace("[service]\n", '[service]\npayload = "no.json"\n'), "no 'no.json'"),
        (CONFIG.replace("[service]\n", "[service]\nport = 99999\n"), "line 3: service.port"),
        (CONFIG.replace("ready_seconds = 3", "ready_seconds = 0"), "line 6: service.ready_seconds"),
        (
            CONFIG.replace("[service.roles]", '[service.environment]\nX = "{databse_url}"\n'
                           "[service.roles]"),
            "service.environment.X: {databse_url} is none of database_url",
        ),
        (
            CONFIG.replace("[service.roles]", "[service.environment]\nX = 1\n[service.roles]"),
            "line 13: service.environment.X: expected a text in quotes, got 1",
        ),
        (f"{CONFIG}[ledger.counts]\nx = true\n", "line 19: ledger.counts.x: expected a text"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_with_its_line(
    tmp_path: Path, config: str, words: str
) -> None:
    file = write_stranger(tmp_path / "service", config=config)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(file) in str(caught.value)
    assert words in str(caught.value)
