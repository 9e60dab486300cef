"""Hears what happens at the gates, and says whose step it is.

Where every delivery has a process of its own, its port says so. In one process it has to be told:
only one delivery is let go at a time, so what comes new is that one's, unless another could have
gone on as well (it waited for a lock, or within the process for a client). Then an id of the
delivery's own among the values decides; else whose transaction it is, if every other delivery has a
session of its own; else whoever has waited longest. The last is a guess, which is counted, and its
result is not called exhaustive. The orders that are played do not depend on any of it: each is one
of steps that are held.
"""

from collections.abc import Sequence

from cluster.wire.flight import Flight, is_step
from cluster.wire.rules import Park
from cluster.witness.gated import HeldCall
from results.records import ConnectionTrace, StatementTrace
from scenarios.engine.explore.actor import Actor
from scenarios.engine.explore.effect import Effect
from scenarios.engine.explore.footprints import Footprints
from scenarios.engine.explore.laboratory import Laboratory
from scenarios.engine.explore.moves import shown
from scenarios.engine.explore.played import Played
from scenarios.engine.explore.stillness import Stillness

Session = tuple[str, int]  # replica, connection


class Hearing:
    """Gives each step to its delivery."""

    def __init__(self, lab: Laboratory, footprints: Footprints, still: Stillness) -> None:
        self._lab = lab
        self._footprints = footprints
        self._still = still
        self.actors: Sequence[Actor] = ()
        self.played: Played | None = None
        self.running: Actor | None = None  # who was let go last
        self.effect = Effect()  # of the move that is being made
        self.late: set[int] = set()  # orders about which a step came when their play was over
        self.over: set[int] = set()
        self.listening = False
        self._background: set[str] = set()
        self._in_delivery: dict[Session, set[int]] = {}  # whose steps an open transaction has
        self._users: dict[Session, set[int]] = {}  # whose steps a session has had in this play
        lab.ears.on_park = self._parked
        lab.ears.on_call = self._called
        lab.ears.on_statement = self._heard
        lab.ears.on_end = self._ended

    def begin(self, actors: Sequence[Actor], played: Played) -> None:
        """Another play begins."""
        self.actors, self.played, self.running, self.effect = actors, played, None, Effect()
        self._users = {}

    def end(self) -> None:
        """It is over: what comes now is nobody's."""
        self.actors = ()

    def on(self, replica: str) -> list[Actor]:
        """The deliveries under way there that are alive."""
        return [one for one in self.actors if one.replica.name == replica and one.under_way]

    # ---------------------------------------------------------------- what is heard

    def _parked(self, park: Park) -> None:
        actors = self.on(park.replica)
        if not actors or self._of_nobody(park):
            self._lab.wire.decide(park, "pass")
            return
        session = park.replica, park.connection
        flight = self._lab.wire.flight(park)
        actor = self._whose(actors, flight, session)
        sharing = self._in_delivery.setdefault(session, set())
        sharing.add(actor.index)
        self._users.setdefault(session, set()).add(actor.index)
        if len(sharing) > 1 and self.played is not None:
            self.played.unsure += 1  # in one transaction, where each BEGIN would be a step, too
        self._arrived(actor, park)

    def _of_nobody(self, park: Park) -> bool:
        """Whether the service says this by itself: not within a transaction of a delivery."""
        flight = self._lab.wire.flight(park)
        session = park.replica, park.connection
        if flight is None or flight.step == 1:
            self._in_delivery.pop(session, None)
        return session not in self._in_delivery and shown(park.sql) in self._background

    def _called(self, call: HeldCall) -> None:
        actors = self.on(call.replica)
        if not actors:
            call.decide(passes=True)
            return
        self._arrived(self._whose(actors, None, None), call)

    def _arrived(self, actor: Actor, step: Park | HeldCall) -> None:
        actor.rests = False
        if not actor.add(step):
            assert self.played is not None
            self.played.beside += 1
            self.effect.everything = True
        self._still.moved()

    def _heard(self, trace: StatementTrace) -> None:
        if self.listening:
            self._background.add(shown(trace.sql))
        if trace.replica in self._lab.targets and is_step(list(trace.sql)):
            self.late |= self.over & {int(key) for key in trace.keys if key.isdigit()}
        there = [one for one in self.actors if one.replica.name == trace.replica]
        for actor in there:
            actor.heard, actor.rests = True, False
        if there and trace.sqlstate is not None:
            self.effect.failed(self._footprints.held((trace.replica, trace.connection)))
        # Whoever has not answered yet goes on to its next gate, or to its answer.
        self._still.moved(arrives=not there or any(one.dead or one.answered for one in there))

    def _ended(self, _: ConnectionTrace) -> None:
        self.effect.everything = True  # its open transaction ends with it
        self._still.moved()

    # ---------------------------------------------------------------- whose it is

    def _whose(
        self, actors: Sequence[Actor], flight: Flight | None, session: Session | None
    ) -> Actor:
        if len(actors) == 1:
            return actors[0]
        keys = set() if flight is None else {*flight.keys}
        named = [one for one in actors if one.webhook.webhook_id in keys]
        if len(named) == 1:
            return named[0]
        if session is not None and flight is not None and flight.step > 1:
            own = [one for one in actors if self._in_delivery.get(session) == {one.index}]
            if own and all(self._has_another(one, session) for one in actors if one is not own[0]):
                return own[0]
        free = [one for one in actors if not one.at_gate and not self._waits(one)]
        could = [one for one in free if not one.answered] or free
        if len(could) == 1:
            return could[0]
        assert self.played is not None
        self.played.unsure += 1
        users = self._users.get(session, set()) if session is not None else set()
        known = [one for one in could if one.index in users]
        if len(known) == 1:
            return known[0]
        waited = [one for one in could if one is not self.running]
        return (waited or could or [*actors])[0]

    def _has_another(self, actor: Actor, session: Session) -> bool:
        """Whether a delivery has had steps in another session than this one."""
        return any(actor.index in users for one, users in self._users.items() if one != session)

    def _waits(self, actor: Actor) -> bool:
        """Whether its last step is still not answered."""
        return actor.blocked and actor.backend_pid in self._lab.wire.backends(actor.replica.name)
