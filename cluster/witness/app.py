"""The witness's HTTP face: POST /shipments for the service, /control and /effects for the harness.

Modes are named after what a caller experiences. Every mode but `down` makes the shipment first:
"the effect happened, the answer did not arrive" is the case that no database transaction covers.
A witness that has no room left ends itself: what it did not see must not be held against anybody,
and a run without its witness is unknown.
"""

import asyncio
import hmac
import logging
import signal
from collections import Counter
from typing import Literal

import msgspec
from aiohttp import web

from cluster.witness.store import Store
from results.errors import HarnessError
from results.records import Line

BODY_MAX_BYTES = 1 << 20
log = logging.getLogger(__name__)
Mode = Literal["normal", "reply-lost", "error-after-effect", "slow", "down"]


class Shipment(msgspec.Struct, frozen=True):
    """What a caller asks for; extra fields are ignored, as providers do."""

    order_id: int | str
    shop: str = ""
    lines: tuple[Line, ...] = ()


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mode, for so many calls (None: until told otherwise)."""

    mode: Mode
    times: int | None = None
    slow_seconds: float = 1.0


class Witness:
    """The handlers and the mode they are in."""

    def __init__(self, store: Store, token: str) -> None:
        self._store = store
        self._token = token
        self._control = Control(mode="normal")
        self._left: int | None = None
        self._met: Counter[str] = Counter()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_post("/shipments", self.ship)
        app.router.add_post("/control", self.control)
        app.router.add_get("/control", self.met)
        app.router.add_get("/effects", self.effects)
        app.router.add_get("/healthz", self.health)
        return app

    async def health(self, _: web.Request) -> web.Response:
        """Alive."""
        return web.json_response({"status": "ok"})

    async def ship(self, request: web.Request) -> web.StreamResponse:
        """Make a shipment, remember it, then answer as the mode says."""
        mode = self._next_mode()
        self._met[mode] += 1
        if mode == "down":
            return web.json_response({"error": "down"}, status=503)
        try:
            wanted = msgspec.json.decode(await request.read(), type=Shipment)
            order_id = int(wanted.order_id)
        except (msgspec.DecodeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        try:
            call_id, shipment, new = self._store.ship(
                wanted.shop, order_id, wanted.lines, request.headers.get("Idempotency-Key")
            )
        except HarnessError as error:
            log.error("%s", error)
            signal.raise_signal(signal.SIGTERM)
            return web.json_response({"error": str(error)}, status=507)
        if mode == "slow":
            await asyncio.sleep(self._control.slow_seconds)
        if mode == "reply-lost":
            self._store.replied(call_id, None)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status = 500 if mode == "error-after-effect" else 201 if new else 200
        self._store.replied(call_id, status)
        body = {"error": "internal"} if status == 500 else {"shipment_id": shipment}
        return web.json_response(body, status=status)

    async def control(self, request: web.Request) -> web.Response:
        """Change the mode."""
        self._authorise(request)
        try:
            self._control = msgspec.json.decode(await request.read(), type=Control)
        except msgspec.DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        self._left = self._control.times
        return web.json_response({"mode": self._control.mode})

    async def met(self, request: web.Request) -> web.Response:
        """How many calls met each mode."""
        self._authorise(request)
        return web.json_response(self._met)

    async def effects(self, request: web.Request) -> web.Response:
        """The shipments of one order id."""
        self._authorise(request)
        try:
            order_id = int(request.query["order_id"])
        except (KeyError, ValueError):
            return web.json_response({"error": "order_id: expected an integer"}, status=400)
        return web.json_response(self._store.effects(order_id))

    def _authorise(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        # Without a token nobody may: an empty one must not match an empty one.
        if not self._token or not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            raise web.HTTPUnauthorized

    def _next_mode(self) -> Mode:
        if self._left is None:
            return self._control.mode
        if self._left <= 0:
            self._control, self._left = Control(mode="normal"), None
            return "normal"
        self._left -= 1
        return self._control.mode
