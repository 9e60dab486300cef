"""Rules about what a delivery reads before it decides."""

from collections.abc import Iterator

from results.lint.decided import after, checks, decided
from results.lint.finding import Finding, Rule
from results.lint.steps import steps_of
from results.lint.traced import PLAIN, Traced

UNLOCKED = Rule(
    "read-then-write-without-lock",
    "Two deliveries read the same state before either writes, and the write does not ask again.",
    "Let the write decide: name the state that was read in its WHERE and obey its row count, or "
    "INSERT ... ON CONFLICT; else lock before the read.",
    ("A1", "A8"),
)
NO_KEY = Rule(
    "no-unique-key-behind-dedupe-read",
    "The read finds a copy only once it is committed, and no unique index stops two that are not.",
    "Create a unique index on the columns that the read compares.",
    ("A1", "A8"), ids="same",
)  # fmt: skip
KEY_DIFFERS = Rule(
    "dedupe-key-differs-between-copies",
    "The key is the webhook id, and another copy of the same order carries another one.",
    "Let a unique key made from the shop and the order decide; keep the webhook id as a log.",
    ("A1", "A8"), ids="distinct",
)  # fmt: skip
SCAN = Rule(
    "sequential-scan-on-dedupe-key",
    "No index serves the dedupe read: each delivery reads the whole table, slower with every order "
    "(and at SERIALIZABLE it conflicts with all of them).",
    "Create an index on the columns that the read compares, best a unique one.",
)
WEAK = Rule(
    "isolation-too-weak",
    "The check reads one table and the writes go to others, so no lock, key or snapshot makes two "
    "deliveries conflict at this isolation level.",
    "Run it SERIALIZABLE with a retry on 40001, or write a row that both must write.",
    ("A1",),
)


def read_then_write(traced: Traced) -> Iterator[Finding]:
    """A plain read of the order, and later a write to its table that does not ask again."""
    for attempt in traced.attempts:
        steps = steps_of(attempt)
        for read in checks(steps):
            for write in after(read, steps):
                held = read.block == write.block and read.level != PLAIN
                stopped = write.inserts and traced.catalogue.is_unique(
                    write.writes or "", read.compared
                )
                blind = not write.decides(traced.catalogue)
                upsert = write.inserts and "ON CONFLICT" in write.sql.upper()
                if (
                    write.writes == read.reads and blind and not held and read.by_order
                    and (upsert or not stopped)
                ):  # fmt: skip
                    yield UNLOCKED.at(f"{read.sql}; {write.sql}")


def no_unique_key(traced: Traced) -> Iterator[Finding]:
    """A read by which a copy is known, of a table that takes two of them."""
    catalogue = traced.catalogue
    steps = steps_of(traced.first)
    for read in checks(steps):
        for write in after(read, steps):
            if (
                write.inserts
                and read.level != "serializable"
                and catalogue.same(read.reads or "", write.writes or "")
                and not catalogue.is_unique(write.writes or "", read.compared)
            ):
                yield NO_KEY.at(f"{read.sql}; {write.sql}")


def dedupe_key_differs(traced: Traced) -> Iterator[Finding]:
    """What stops a copy goes by the webhook id, and nothing goes by the order."""
    steps = steps_of(traced.first)
    if decided(steps, traced.catalogue):
        return
    same, distinct = steps_of(traced.same), steps_of(traced.distinct)
    for step in steps:
        by_webhook = step.by_webhook and not step.by_order
        claim = step.writes is not None and "ON CONFLICT" in step.sql.upper()
        if (by_webhook and step.reads is not None) or (claim and step.by_webhook):
            ended = bool(same) and same[-1].sql == step.sql
            if ended and len(distinct) > len(same):
                yield KEY_DIFFERS.at(step.sql)


def sequential_scan(traced: Traced) -> Iterator[Finding]:
    """A read by which a copy is known, and Postgres has no index for it."""
    for step in steps_of(traced.first):
        if step.reads is not None and step.sql in traced.catalogue.scanned:
            yield SCAN.at(step.sql)


def isolation_too_weak(traced: Traced) -> Iterator[Finding]:
    """A check of one table, writes to others only, and nothing that two copies collide at."""
    steps = steps_of(traced.first)
    if decided(steps, traced.catalogue):
        return
    for read in checks(steps):
        writes = [one for one in after(read, steps) if one.block == read.block]
        known = [one for one in writes if traced.catalogue.same(read.reads or "", one.writes or "")]
        if read.by_order and writes and not known:
            yield WEAK.at(f"{read.sql}; {writes[0].sql}")
