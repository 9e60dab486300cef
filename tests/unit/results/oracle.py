"""A plain checker, written apart from the real one and straight from docs/exactly-once.md.

It folds nothing and indexes nothing: for each snapshot it rebuilds the whole ledger and asks each
sentence of the definition of each order. Slow, and simple enough to be believed. It knows only
the record shapes; what the wire saw is in `oracle_wire`, what one order moved in `oracle_lines`.
"""

from itertools import pairwise
from typing import Any

from tests.unit.results import oracle_wire
from tests.unit.results.oracle_lines import moved_too_little, moved_too_much, totals

Found = set[tuple[str, str, int]]


class Sent:
    """A delivery: what was intended, and what came of it."""

    def __init__(self, intent: Any, completions: Any) -> None:
        done = [one for one in completions if one.attempt_id == intent.attempt_id]
        self.order = (intent.shop, intent.order_id)
        self.topic, self.authentic = intent.topic, intent.authentic
        self.webhook, self.copy, self.attempt = intent.webhook_id, intent.copy, intent.attempt
        self.lines = intent.lines
        self.completed = bool(done)
        self.outcome = done[0].outcome if done else "info"
        self.status = done[0].status if done else None
        self.sent = done[0].sent_ns if done else None
        self.done = done[0].done_ns if done else None
        self.intended = intent.intended_ns
        self.begins = min(intent.intended_ns, self.sent or intent.intended_ns)

    def calm(self, disturbed: Any) -> bool:
        return self.sent is not None and not any(
            begin <= self.done and end >= self.sent for begin, end in disturbed
        )


def oracle(run: Any) -> Found:
    """Triples of code, shop and order id (0: the stock)."""
    sent = [Sent(intent, run.completions) for intent in run.intents]
    disturbed = disturbances(run)
    paid = [one for one in sent if one.authentic and one.topic == "orders/paid"]
    orders = {one.order for one in paid}
    shipped = shipments(run.calls, sent, paid)
    found: Found = set()
    for order in {one.order for one in sent} | set(shipped):
        own = [one for one in sent if one.order == order]
        found |= {(code, *order) for code in of_order(run, order, own, sent, disturbed, shipped)}
    declared = set(run.manifest.ledger_queries)
    ledgers = list(rebuilt(run.snapshots))
    for snapshot, rows in ledgers:
        for order in orders:
            own = [one for one in paid if one.order == order]
            if any(snapshot.ended_ns >= at for at in cancelled(order, sent)):
                continue
            acked = any(one.outcome == "ok" and one.done <= snapshot.begun_ns for one in own)
            effects = [*shipped.get(order, []), *shipped.get(("", order[1]), [])]
            effect = any(call.at_ns <= snapshot.ended_ns for call in effects)
            codes = of_snapshot(declared, order, sent, rows.get(order), acked, effect)
            two = len(declared & {"orders", "fulfillments", "movements", "webhook_log"}) > 1
            if two and "movements" in declared and moved_too_little(run, rows.get(order), own):
                codes.add("A5")
            found |= {(code, *order) for code in codes}
        for order in orders if "movements" in declared else ():
            if moved_too_much(rows.get(order), [one for one in paid if one.order == order]):
                found.add(("A8", *order))
        if any(name.startswith("count ") for name in declared):
            found |= {("A17", *order) for order in orders if max(counts(rows.get(order))) > 1}
        if "stock" in declared:
            found |= of_stock(declared, snapshot, rows, sent)
        if "webhook_log" in declared:
            found |= {("A11", *order) for order in astray(rows, sent)}
    if declared:
        found |= uncounted(declared, ledgers[-1][1], paid, sent)
        found |= of_final(run, declared, ledgers[-1][1], sent, disturbed, shipped)
    found |= oracle_wire.contaminated(run, sent) | oracle_wire.premature(run, sent)
    return found | oracle_wire.zombies(run, sent, found)


def counts(state: Any) -> list[int]:
    return [one.times for one in state.counts] if state and state.counts else [0]


def uncounted(declared: Any, rows: Any, paid: Any, sent: Any) -> Found:
    """S5: at the end every declared count has an order once that had an ok."""
    names = {name[6:] for name in declared if name.startswith("count ")}
    acked = {one.order for one in paid if one.outcome == "ok"}
    return {
        ("A17", *order) for order in acked if not cancelled(order, sent)
        for name in names if (name, 1) not in
        [(one.name, one.times) for one in (rows[order].counts if order in rows else ())]
    }  # fmt: skip


def shipments(calls: Any, sent: Any, paid: Any) -> dict[Any, Any]:
    """The distinct effects of each order; one that may be of two shops stands under ""."""
    effects: dict[Any, Any] = {}
    seen = set()
    for call in sorted(calls, key=lambda call: call.at_ns):
        if call.effect_id and call.effect_id not in seen:
            seen.add(call.effect_id)
            shops = {one.order[0] for one in paid if one.order[1] == call.order_id}
            shops = shops or {one.order[0] for one in sent if one.order[1] == call.order_id}
            shop = shops.pop() if not call.shop and len(shops) == 1 else call.shop
            effects.setdefault((shop, call.order_id), []).append(call)
    return effects


def disturbances(run: Any) -> list[tuple[int, float]]:
    spans = [(hold.parked_ns, float(hold.released_ns)) for hold in run.holds]
    for fault in {record.fault_id for record in run.faults}:
        own = [record for record in run.faults if record.fault_id == fault]
        acts = [one.at_ns for one in own if one.stage in ("parked", "intent", "inject", "evidence")]
        ends = [float(one.at_ns) for one in own if one.stage in ("heal", "missed")]
        if acts:
            spans.append((min(acts), max(ends, default=float("inf"))))
    return spans


def cancelled(order: Any, sent: Any) -> list[int]:
    """When the order may be cancelled: empty, or a single time."""
    times = [one.begins for one in sent if one.order == order and one.authentic
             and one.topic == "orders/cancelled" and one.outcome != "fail"]  # fmt: skip
    return [min(times)] if times else []


def gave_up(run: Any, own: Any, disturbed: Any, since: int = 0) -> bool:
    for copy in {one.copy for one in own}:
        tries = [one for one in own if one.copy == copy]
        never = all(one.completed and one.outcome != "ok" for one in tries)
        calm = [one for one in tries if one.calm(disturbed) and one.sent >= since]
        if never and max(one.attempt for one in tries) >= run.manifest.attempts and len(calm) >= 2:
            return True
    return False


def cause(run: Any, order: Any, at: int, sent: Any) -> str:
    """The first that holds of what the definition lists."""
    by_anybody = not order[0]
    mine = [one for one in sent if one.order[1] == order[1]] if by_anybody else [
        one for one in sent if one.order == order]  # fmt: skip
    before = [one for one in mine if one.begins <= at]
    paid = [one for one in before if one.authentic and one.topic == "orders/paid"]
    if any(one.outcome != "fail" for one in paid):
        return "paid"
    first = min((one.begins for one in sent), default=0)
    for snapshot in run.snapshots:
        for state in snapshot.orders:
            same = state.order_id == order[1] and (by_anybody or state.shop == order[0])
            if same and snapshot.ended_ns < first:
                return "older"
    if any(not one.authentic and (one.sent or not one.completed) for one in before):
        return "forged"
    return "refused" if paid else "nothing"


def of_order(run: Any, order: Any, own: Any, sent: Any, disturbed: Any, shipped: Any) -> set[str]:
    """What an order violates by what was sent, answered and shipped."""
    found = set()
    calls = shipped.get(order, [])
    either = [*calls, *shipped.get(("", order[1]), [])]
    paid = [one for one in own if one.authentic and one.topic == "orders/paid"]
    forged = [one for one in own if not one.authentic]
    anything_worked = any(
        one.outcome == "ok" for one in sent if one.authentic and one.topic == "orders/paid"
    )
    ok = any(one.outcome == "ok" for one in paid)
    over = cancelled(order, sent)
    sharers = {one.order[0] for one in sent if one.order[1] == order[1] and one.authentic
               and one.topic == "orders/paid"}  # fmt: skip
    of_all = [one for (_, number), found in shipped.items() if number == order[1] for one in found]
    if len(calls) > 1 if order[0] else len(of_all) > max(1, len(sharers)):
        found.add("A1")
    if order in unserved(order[1], sent, shipped):
        found.add("A2")
    if calls:
        codes = {"nothing": "A4", "refused": "A12"}
        found |= {codes.get(cause(run, order, calls[0].at_ns, sent), "")} - {""}
        refused = [
            [one for one in paid if one.copy == copy and one.calm(disturbed)
             and one.sent >= calls[0].at_ns and one.status and one.outcome != "ok"]
            for copy in {one.copy for one in paid}
        ]  # fmt: skip
        if any(len(chain) >= 5 for chain in refused):
            found.add("A16")
        if paid and gave_up(run, paid, disturbed, calls[0].at_ns):
            found.add("A7")
    stuck = paid and gave_up(run, paid, disturbed)
    if stuck and not ok and not either and not over and anything_worked:
        found.add("A6")
    found |= cancelled_codes(run, order, own, paid, calls)
    units = [totals(one.lines) for one in paid if one.lines]
    told = any(call.lines for call in run.calls if call.effect_id)
    if any(units and told and totals(call.lines) not in units for call in calls):
        found.add("A11")
    let_in = [one for one in forged if one.status and one.status < 300]
    let_in += [one for one in forged if (one.status or 0) >= 500 and one.calm(disturbed)
               and one.status not in (502, 503, 504)]  # fmt: skip
    effects = [call for call in calls if cause(run, order, call.at_ns, sent) == "forged"]
    rows = [
        state for snapshot in run.snapshots for state in snapshot.orders
        if (state.shop, state.order_id) == order
        and (state.status == "paid" or state.fulfillments or state.movements)
        and cause(run, order, snapshot.ended_ns, sent) == "forged"
    ]  # fmt: skip
    if forged and (let_in or effects or rows):
        found.add("A15")
    return found


def unserved(order_id: int, sent: Any, shipped: Any) -> list[Any]:
    """Acknowledged orders of one id without an effect; those that name no shop serve the first."""
    paid = [
        one.order for one in sorted(sent, key=lambda one: one.intended)
        if one.order[1] == order_id and one.authentic and one.topic == "orders/paid"
    ]  # fmt: skip
    owed = [
        order for order in dict.fromkeys(paid)
        if not shipped.get(order) and not cancelled(order, sent)
        and any(one.outcome == "ok" for one in sent if one.order == order and one.authentic
                and one.topic == "orders/paid")
    ]  # fmt: skip
    return owed[len(shipped.get(("", order_id), [])) :]


def cancelled_codes(run: Any, order: Any, own: Any, paid: Any, calls: Any) -> set[str]:
    """S7: no cancelled order becomes paid, or is shipped."""
    ends = [one for one in own if one.authentic and one.topic == "orders/cancelled"]
    acked = min((one.done for one in ends if one.outcome == "ok"), default=None)
    first = min((one.begins for one in paid), default=None)
    if acked and first and acked < first and any(call.at_ns > acked for call in calls):
        return {"A10"}
    history = [rows[order].status for _, rows in rebuilt(run.snapshots) if order in rows]
    for place, status in enumerate(history):
        if ends and status == "cancelled" and "paid" in history[place:]:
            return {"A10"}
    return set()


def rebuilt(snapshots: Any) -> Any:
    """Each snapshot with all rows of that moment."""
    for number, snapshot in enumerate(snapshots):
        rows: dict[Any, Any] = {}
        for earlier in snapshots[: number + 1]:
            for state in earlier.orders:
                rows[(state.shop, state.order_id)] = state
        yield snapshot, rows
    assert all(one.begun_ns <= two.begun_ns for one, two in pairwise(snapshots))


def logged(order: Any, state: Any, sent: Any) -> tuple[bool, bool]:
    """Whether the log has an id of a delivery of the order, and whether it has a foreign one."""
    mine = [one for one in sent if one.order == order]
    ids = {one.webhook for one in mine if one.authentic and one.topic == "orders/paid"}
    entries = set(state.webhook_ids) if state else set()
    return bool(entries & ids), bool(entries - {one.webhook for one in mine})


def of_snapshot(
    declared: set[str], order: Any, sent: Any, state: Any, acked: bool, effect: bool
) -> set[str]:
    """What one order violates in one snapshot."""
    found = set()
    is_paid = bool(state) and state.status == "paid"
    fulfilled = bool(state) and len(state.fulfillments) > 0

    # S4: an ok at t is durable in every snapshot taken at or after t.
    acked = acked and not (state and state.in_inbox)
    if acked and "orders" in declared and not is_paid:
        found.add("A3")
    if acked and "fulfillments" in declared and not fulfilled and not effect:
        found.add("A3")

    # S5: paid, fulfillment, movement and log are all there or none is.
    parts = {
        "orders": is_paid,
        "fulfillments": fulfilled,
        "movements": bool(state and state.movements),
    }
    known, foreign = logged(order, state, sent)
    if known or not foreign:
        parts["webhook_log"] = known
    if len({parts[name] for name in parts if name in declared}) == 2:
        found.add("A5")
    return found


def of_stock(declared: set[str], snapshot: Any, rows: Any, sent: Any) -> Found:
    """S6: what is gone from the stock is accounted for, by the movements or the paid orders."""
    lines_of: dict[Any, Any] = {}
    for one in sent:
        if one.authentic and one.topic == "orders/paid":
            same = lines_of.setdefault(one.order, one.lines) == one.lines
            lines_of[one.order] = one.lines if same else ()
    paid = [order for order, state in rows.items() if state.status == "paid"]
    either = [
        order for order, state in rows.items()
        if state.status not in ("paid", "pending") and cancelled(order, sent)
    ]  # fmt: skip
    moves = [line for state in rows.values() for line in state.movements]

    def units(lines: Any) -> int:
        return sum(line.quantity for line in lines if line.sku == level.sku)

    for level in snapshot.stock:
        gone = level.initial - level.remaining
        accounts = []
        if "movements" in declared:
            accounts.append(gone == units(moves))
        if "orders" in declared and all(lines_of.get(order) for order in paid):
            least = sum(units(lines_of[order]) for order in paid)
            most = least + sum(units(lines_of.get(order, ())) for order in either)
            accounts.append(least <= gone <= most)
        if accounts and not any(accounts):
            return {("A8", "", 0)}
    return set()


def astray(rows: Any, sent: Any) -> set[Any]:
    """S10: a log entry under an order for which its webhook was never sent."""
    found = set()
    for order, state in rows.items():
        for entry in state.webhook_ids:
            owners = {one.order for one in sent if one.webhook == entry}
            if owners and order not in owners:
                found.add(min(owners))
    return found


def of_final(
    run: Any, declared: set[str], rows: Any, sent: Any, disturbed: Any, shipped: Any
) -> Found:
    """S9: no dedupe record without its order paid, at the end."""
    found: Found = set()
    for order, state in rows.items():
        paid = [one for one in sent if one.order == order and one.authentic
                and one.topic == "orders/paid"]  # fmt: skip
        effects = [*shipped.get(order, []), *shipped.get(("", order[1]), [])]
        done = state.status == "paid" or state.fulfillments or effects
        if not paid or done or cancelled(order, sent) or "webhook_log" not in declared:
            continue
        asked = any(one.outcome == "ok" for one in paid) or gave_up(run, paid, disturbed)
        if logged(order, state, sent)[0] and asked and {"orders", "fulfillments"} & declared:
            found.add(("A9", *order))
    return found
