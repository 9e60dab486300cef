"""What is a step and what writes, told from a statement's text."""

import pytest

from cluster.wire.flight import is_step, writes


@pytest.mark.parametrize(
    ("sql", "step", "write"),
    [
        ("BEGIN", False, False),
        ("SET LOCAL lock_timeout = ‹…›", False, False),
        ("SELECT oid FROM pg_catalog.pg_type", False, False),
        ("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", False, False),
        (
            "\n SELECT\n current_setting(‹…›) AS cur,\n set_config(‹…›, ‹…›, false) AS new\n",
            False,
            False,
        ),
        ("SELECT set_config(‹…›, $1, false)", False, False),
        ("SELECT set_config(‹…›, $1, false), id FROM stock", True, False),
        ("SELECT ship(set_config(‹…›, $1, false))", True, True),
        ("SELECT set_config(‹…›, $1, false) FROM stock FOR UPDATE", True, False),
        ("BEGIN; INSERT INTO log (id) VALUES ($1); COMMIT", True, True),
        ("SET LOCAL lock_timeout = ‹…›; UPDATE stock SET a = 1", True, True),
        ("BEGIN; SELECT 1 FROM stock; COMMIT", True, False),
        ("INSERT INTO log (at) VALUES (pg_catalog.now())", True, True),
        ("SELECT pg_catalog.pg_advisory_xact_lock($1)", True, False),
        ("SELECT pg_catalog.now() FROM stock FOR UPDATE", True, False),
    ],
)
def test_each_statement_of_a_query_counts(sql: str, step: bool, write: bool) -> None:
    assert (is_step([sql]), writes(sql)) == (step, write)
