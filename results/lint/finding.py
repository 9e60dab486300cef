"""What a rule says: where it saw what, why it matters, which codes it predicts, and the fix."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from results.lint.traced import Row

REFUSED = "5xx"  # not a code: an answer that a retry may heal


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong by its trace. Predictions are claims that a schedule can refute."""

    rule: str
    sql: str
    why: str
    fix: str
    codes: tuple[str, ...] = ()  # predicted of two deliveries at once
    crash_codes: tuple[str, ...] = ()  # predicted if one of them dies
    rows: tuple[Row, ...] = ()
    ids: str = "any"  # of the deliveries for which it is predicted: same, distinct, any

    @property
    def predicted(self) -> tuple[str, ...]:
        """All codes."""
        return (*self.codes, *self.crash_codes)


@dataclass(frozen=True, slots=True)
class Rule:
    """What all findings of a rule have in common."""

    name: str
    why: str
    fix: str
    codes: tuple[str, ...] = ()
    crash_codes: tuple[str, ...] = ()
    ids: str = "any"

    def at(self, sql: str) -> Finding:
        """The finding at this statement."""
        return Finding(
            rule=self.name, sql=sql, why=self.why, fix=self.fix, codes=self.codes,
            crash_codes=self.crash_codes, ids=self.ids,
        )  # fmt: skip


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding where only the row differs."""
    rows: dict[Finding, list[Row]] = {}
    for one in findings:
        rows.setdefault(msgspec.structs.replace(one, rows=()), []).extend(one.rows)
    return tuple(
        msgspec.structs.replace(one, rows=tuple(dict.fromkeys(found)))
        for one, found in rows.items()
    )
