"""What each strategy must be found guilty of, reasoned before it was run.

Two concurrent deliveries of one order, its relay `skip_locked`, a provider that honours keys, READ
COMMITTED unless said. A cell names the codes that some schedule shows and none beyond; `crash`
names what one crash adds. Codes as in docs/exactly-once.md; 5xx: some answer was one. Two words:
"blind" is a write that does not ask what it replaces, "torn" a snapshot between two commits.
"""

from typing import NamedTuple

Where = tuple[str, str, str]  # strategy, webhook ids, the order's row


class Cell(NamedTuple):
    calm: str
    crash: str | None  # None: not tried
    why: str


ABSENT = "the UPDATE changes no row, so the order is shipped, logged, acknowledged, never paid"
HALF = "each statement commits: torn; a duplicate sees 'paid' before the fulfillment: too early"
ONCE = "the order's row, or a lock in its place, lets one decide; the other waits and sees it"
SESSION = "one session: the first COMMIT makes the other's half durable, the rest autocommits"

TABLE: dict[Where, Cell] = {
    # Ships before it writes, so no acknowledgement is early; autocommits, so it is torn; upserts.
    ("naive", "distinct", "there"): Cell("A1 A5 A8", "", "both see it unpaid, fresh keys"),
    ("naive", "same", "there"): Cell("A1 A5 A8", "", "nobody looks at the webhook id"),
    ("naive", "distinct", "absent"): Cell("A1 A5 A8", "", "the upsert needs no row"),
    ("naive", "same", "absent"): Cell("A1 A5 A8", "", "as with distinct ids"),
    # One transaction: never torn in between. The second UPDATE waits, then overwrites.
    ("article", "distinct", "there"): Cell("A1 A8", "", "the second UPDATE is blind"),
    ("article", "same", "there"): Cell("5xx", "", "the log's key rolls the second one back"),
    ("article", "distinct", "absent"): Cell("A1 A3 A5 A8", "", f"{ABSENT}; twice"),
    ("article", "same", "absent"): Cell("A3 A5 5xx", "", f"{ABSENT}; the log stops the second"),
    # As above, but a rollback does not take the shipment back; it does take the stock back.
    ("article_inline", "distinct", "there"): Cell("A1 A8", "", "as article"),
    ("article_inline", "same", "there"): Cell("A1 5xx", "", "shipped, then rolled back by the log"),
    ("article_inline", "distinct", "absent"): Cell("A1 A3 A5 A8", "", "as article"),
    ("article_inline", "same", "absent"): Cell("A1 A3 A5 5xx", "", "both of the above"),
    # A crash after 'paid' commits: every retry is a duplicate of nothing. Without a row nothing
    # ever says 'paid', so retries ship.
    ("article_pool_object", "distinct", "there"): Cell("A1 A3 A5 A8", "A2", HALF),
    ("article_pool_object", "same", "there"): Cell("A1 A3 A5 A8 5xx", "A2", f"{HALF}; log is last"),
    ("article_pool_object", "distinct", "absent"): Cell("A1 A3 A5 A8", "", f"{HALF}; {ABSENT}"),
    ("article_pool_object", "same", "absent"): Cell("A1 A3 A5 A8 5xx", "", f"{HALF}; {ABSENT}"),
    # Its crash takes both deliveries: they are in one process. A2 without a crash and A14 need
    # another order (test_strategies_shared_client), as do the deadlocks of several replicas.
    ("article_shared_client", "distinct", "there"): Cell("A1 A3 A5 A8", "A2", SESSION),
    ("article_shared_client", "same", "there"): Cell("A1 A3 A5 A8 5xx", "A2", SESSION),
    ("article_shared_client", "distinct", "absent"): Cell(
        "A1 A3 A5 A8", "", f"{SESSION}; {ABSENT}"
    ),
    ("article_shared_client", "same", "absent"): Cell(
        "A1 A3 A5 A8 5xx", "", f"{SESSION}; {ABSENT}"
    ),
    ("article_no_primary_key", "distinct", "there"): Cell("A1 A8", "", "as article"),
    ("article_no_primary_key", "same", "there"): Cell("A1 A8", "", "both look before either logs"),
    ("article_no_primary_key", "distinct", "absent"): Cell("A1 A3 A5 A8", "", "as article"),
    ("article_no_primary_key", "same", "absent"): Cell("A1 A3 A5 A8", "", "nothing stops it"),
    # The claim is a log row of an order that is not paid yet: torn in every cell. A crash after
    # it poisons its own retries; under another id the order is paid all the same.
    ("dedupe_first", "distinct", "there"): Cell("A1 A5 A8", "", "two claims, a blind UPDATE"),
    ("dedupe_first", "same", "there"): Cell("A3 A5", "A2 A9", "acknowledged by the claim alone"),
    ("dedupe_first", "distinct", "absent"): Cell("A1 A3 A5 A8", "", ABSENT),
    ("dedupe_first", "same", "absent"): Cell("A3 A5", "A2 A9", ABSENT),
    ("for_update", "distinct", "there"): Cell("", "", ONCE),
    ("for_update", "same", "there"): Cell("", "", ONCE),
    ("for_update", "distinct", "absent"): Cell("A1 A8", "", "nothing to lock, a blind upsert"),
    ("for_update", "same", "absent"): Cell("5xx", "", "the log's key rolls the second one back"),
    ("optimistic", "distinct", "there"): Cell("", "", ONCE),
    ("optimistic", "same", "there"): Cell("", "", ONCE),
    ("optimistic", "distinct", "absent"): Cell("A2 A3", "", "no row changed: taken for settled"),
    ("optimistic", "same", "absent"): Cell("A2 A3", "", "no row changed: taken for settled"),
    **{
        (right, ids, row): Cell("", "", ONCE)
        for right in ("serializable", "advisory_lock", "function", "insert_first")
        for ids in ("distinct", "same")
        for row in ("there", "absent")
    },
}

# Under REPEATABLE READ and SERIALIZABLE alike: a write to a row that has changed since the
# snapshot fails (5xx). Only what enclosed its statements in a transaction changes.
SNAPSHOT = "the late write fails and is delivered again"
STOCK = "no order row to fail at; it fails at the stock, and the retry ships"
HIGHER_ISOLATION: dict[Where, Cell] = {
    ("article", "distinct", "there"): Cell("5xx", "", SNAPSHOT),
    ("article", "same", "there"): Cell("5xx", None, SNAPSHOT),
    ("article", "distinct", "absent"): Cell("A1 A3 A5 A8 5xx", None, STOCK),
    ("article", "same", "absent"): Cell("A3 A5 5xx", None, "the retry finds its id in the log"),
    ("article_inline", "distinct", "there"): Cell("5xx", "A1", "it fails before the call"),
    ("article_inline", "same", "there"): Cell("5xx", "A1", "it fails before the call"),
    ("article_no_primary_key", "same", "there"): Cell("5xx", None, SNAPSHOT),
    ("dedupe_first", "distinct", "there"): Cell(
        "A5 5xx", None, "the loser's retry finds its claim"
    ),
    ("dedupe_first", "distinct", "absent"): Cell(
        "A1 A3 A5 A8 5xx", "", "one after the other ships"
    ),
    ("for_update", "distinct", "there"): Cell("5xx", None, SNAPSHOT),
    ("for_update", "distinct", "absent"): Cell("5xx", "", "the upsert meets a row it cannot see"),
    ("for_update", "same", "absent"): Cell("5xx", None, "the upsert meets a row it cannot see"),
    ("optimistic", "distinct", "there"): Cell("5xx", None, SNAPSHOT),
    ("optimistic", "distinct", "absent"): Cell("A2 A3", None, "no row, no conflict"),
    ("advisory_lock", "distinct", "there"): Cell(
        "5xx", None, "the check is stale, the upsert fails"
    ),
    ("advisory_lock", "distinct", "absent"): Cell(
        "5xx", "", "the check is stale, the upsert fails"
    ),
    ("serializable", "distinct", "there"): Cell("", None, "it names its level and retries itself"),
    ("serializable", "distinct", "absent"): Cell("", None, "it names its level and retries itself"),
}


RIGHT = ("serializable", "advisory_lock", "function", "insert_first")
RIGHT_WITH_A_ROW = ("for_update", "optimistic", *RIGHT)
