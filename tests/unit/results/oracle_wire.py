"""The oracle's part for what the wire saw: A13, A14 and some of A3, from docs/exactly-once.md."""

import re
from typing import Any

Found = set[tuple[str, str, int]]


def named(flight: Any, sent: Any) -> set[Any]:
    """The orders that a flight names."""
    by_webhook = {one.order for one in sent if one.webhook in flight.keys}
    by_id = {one.order for one in sent if str(one.order[1]) in flight.keys}
    if by_webhook:
        return by_webhook & by_id or by_webhook
    return {order for order in by_id if len([same for same in by_id if same[1] == order[1]]) == 1}


def about(flights: Any, sent: Any) -> set[Any]:
    orders = [named(flight, sent) for flight in flights]
    return {order for some in orders if len(some) == 1 for order in some}


def cut(statements: Any) -> list[list[Any]]:
    """Transactions: a connection's flights from one that finds it idle to the next such."""
    found: list[list[Any]] = []
    for place in sorted({(one.replica, one.connection) for one in statements}):
        own = [one for one in statements if (one.replica, one.connection) == place]
        for flight in sorted(own, key=lambda one: one.flight):
            if flight.state_before == "I" or not found or found[-1][0].replica != place[0] or (
                found[-1][0].connection != place[1]
            ):  # fmt: skip
                found.append([])
            found[-1].append(flight)
    return found


def committed_at(flights: Any) -> int | None:
    """When the server said so: a COMMIT's tag, or the answer of a statement outside a block."""
    last = flights[-1]
    ends = any(re.match(r"(?i)\s*(commit|end|rollback|abort)\b", sql) for sql in last.sql)
    if last.replied_ns is None or last.sqlstate:
        return None
    durable = "COMMIT" in last.tags if ends else last.state_after == "I"
    return last.replied_ns if durable else None


def rows(flights: Any, sent: Any) -> int:
    """By the tags, those that carry a webhook id aside."""
    webhooks = {one.webhook for one in sent}
    counted = [tag for one in flights if not webhooks & set(one.keys) for tag in one.tags]
    return sum(int(tag.split()[-1]) for tag in counted
               if tag.split()[0] in ("INSERT", "UPDATE", "DELETE", "MERGE"))  # fmt: skip


def contaminated(run: Any, sent: Any) -> Found:
    found: Found = set()
    for flights in cut(run.statements):
        begins = [sql for one in flights for each in one.sql for sql in each.split(";")
                  if re.match(r"(?i)\s*(begin|start\s+transaction)\b", sql)]  # fmt: skip
        orders = about(flights, sent)
        if len(begins) > 1 and len(orders) > 1 and not flights[0].replica.startswith("relay"):
            found |= {("A14", *order) for order in orders}
    return found


def premature(run: Any, sent: Any) -> Found:
    """S4: an ok that the sender had before anything was even asked to commit for its order."""
    found: Found = set()
    if not {"orders", "fulfillments"} & set(run.manifest.ledger_queries):
        return found
    names = [(flights, {order for flight in flights for order in named(flight, sent)})
             for flights in cut(run.statements)]  # fmt: skip
    paid = [one for one in sent if one.authentic and one.topic == "orders/paid"]
    for order in {one.order for one in paid}:
        own = [one for one in paid if one.order == order]
        if len({one.order for one in sent if one.order[1] == order[1]}) > 1:
            continue  # which COMMIT was its first nobody knows
        oks = [one.done for one in own if one.outcome == "ok"]
        since = min(one.intended for one in own)
        asked = [
            flights[-1].forwarded_ns for flights, orders in names
            if order in orders and flights[-1].forwarded_ns and committed_at(flights)
            and flights[0].received_ns >= since and flights[0].replica.startswith("web-")
            and not all(only_reads(sql) for one in flights for sql in one.sql)
        ]  # fmt: skip
        off = any(one.order == order and one.authentic and one.topic == "orders/cancelled"
                  and one.outcome != "fail" for one in sent)  # fmt: skip
        if asked and kept(run, order, min(asked), seen(run, order)):
            continue
        if oks and asked and min(oks) < min(asked) and not off:
            found.add(("A3", *order))
    return found


def only_reads(sql: str) -> bool:
    """Plainly so: begins or ends a transaction, or selects without calling anything unusual."""
    calls = re.findall(r"(\w+)\s*\(", sql)
    usual = {"exists", "count", "sum", "min", "max", "avg", "coalesce", "lower", "upper", "now",
             "cast", "in", "any", "all", "and", "or", "not", "on", "where", "from", "select", "as",
             "values", "join"}  # fmt: skip
    plain = re.match(r"(?i)\s*(select|values|table|show|begin|start|commit|end|set|reset)\b", sql)
    writes = re.search(r"(?i)\b(insert\s+into|update|delete\s+from|merge\s+into)\s+\S", sql)
    locking = re.search(r"(?i)\bfor\s+(no\s+key\s+)?update\b", sql)
    return bool(plain) and (not writes or bool(locking)) and {c.lower() for c in calls} <= usual


def seen(run: Any, order: Any) -> list[Any]:
    """What the ledger held of an order: (when a snapshot ended, the state in it or None)."""
    state, found = None, []
    for snapshot in sorted(run.snapshots, key=lambda one: one.begun_ns):
        for changed in snapshot.orders:
            if (changed.shop, changed.order_id) == order:
                state = changed
        found.append((snapshot.ended_ns, state))
    return found


def kept(run: Any, order: Any, before: int, states: Any) -> bool:
    """Whether a snapshot before that time showed S4 kept."""
    declared = run.manifest.ledger_queries
    for ended, state in states:
        shipped = any(call.effect_id and call.order_id == order[1]
                      and call.shop in ("", order[0]) and call.at_ns <= ended
                      for call in run.calls)  # fmt: skip
        paid = "orders" not in declared or (state is not None and state.status == "paid")
        rows = state is not None and bool(state.fulfillments)
        if ended < before and paid and ("fulfillments" not in declared or rows or shipped):
            return True
    return False


def zombies(run: Any, sent: Any, found: Found) -> Found:
    """Each pair of a late transaction and the successor's before it."""
    harmed = {triple[1:] for triple in found if triple[0] in ("A8", "A10")}
    doubled = {(state.shop, state.order_id) for snapshot in run.snapshots
               for state in snapshot.orders if len(state.fulfillments) > 1}  # fmt: skip
    shown = "fulfillments" in run.manifest.ledger_queries
    harmed |= {triple[1:] for triple in found
               if triple[0] == "A1" and (triple[1:] in doubled or not shown)}  # fmt: skip
    names = [(flights, about(flights, sent)) for flights in cut(run.statements)]
    guilty: Found = set()
    for late, orders in names:
        end = committed_at(late)
        stops = [
            one.at_ns for one in run.connections if one.event in ("client-eof", "cut")
            and (one.replica, one.connection) == (late[0].replica, late[0].connection)
        ] + [
            one.at_ns for one in run.faults if one.stage == "inject"
            and one.kind in ("crash", "freeze") and one.replica == late[0].replica
        ]  # fmt: skip
        for stop in stops:
            for successor, others in names:
                done = committed_at(successor)
                if (
                    end and done and late[0].received_ns <= stop < done < end
                    and successor[0].replica != late[0].replica
                    and rows(late, sent) and rows(successor, sent)
                ):  # fmt: skip
                    guilty |= {("A13", *order) for order in orders & others & harmed}
    return guilty
