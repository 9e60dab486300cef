"""All rules, and what they find in what was traced."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from results.lint import ends, locks, reads
from results.lint.finding import Finding, merged
from results.lint.traced import Traced

RULES: tuple[Callable[[Traced], Iterator[Finding]], ...] = (
    reads.read_then_write,
    reads.no_unique_key,
    reads.dedupe_key_differs,
    ends.call_in_transaction,
    ends.reply_before_commit,
    ends.commit_rolled_back,
    ends.claim_apart,
    locks.lock_order,
    locks.for_update_no_row,
    ends.update_ignored,
    ends.nothing_written,
    reads.sequential_scan,
    reads.isolation_too_weak,
)


def lint(traces: Iterable[Traced]) -> tuple[Finding, ...]:
    """Each finding once, with the rows at which it was seen."""
    return merged(
        msgspec.structs.replace(one, rows=(traced.row,))
        for traced in traces
        for one in chain.from_iterable(rule(traced) for rule in RULES)
    )
