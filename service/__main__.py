"""`python -m service web|relay|schema`: settings, logs, signals and an orderly end.

SIGTERM drains: /readyz fails first, while a load balancer still sends; then the listener closes,
the deliveries under way are answered, the pool closes, and the process exits 0. Every step is
bounded, so that a stuck delivery delays the end by at most DRAIN_SECONDS. Exit statuses: 0 done,
1 the service could not do its work, 2 it was told something wrong.
"""

import asyncio
import logging
import signal
import sys

import structlog
import uvloop
from aiohttp import web
from structlog.tracebacks import ExceptionDictTransformer

from service.app import App
from service.database import apply_schema_when_reachable, open_pool
from service.fast_lane import FastLane
from service.pool import Pool
from service.provider import Provider
from service.relay import WORKERS, run_relay
from service.relays import load_relay, relay_names
from service.settings import Settings, SettingsError, read_settings
from service.strategies import strategy_names

DRAIN_NOTICE_SECONDS = 0.3
DRAIN_SECONDS = 20.0
POOL_CLOSE_SECONDS = 5.0

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """Run one role; the answer is the exit status."""
    roles = {"web": _web, "relay": _relay, "schema": _schema}
    if len(arguments) != 1 or arguments[0] not in roles:
        sys.stderr.write("usage: python -m service web|relay|schema\n")
        return 2
    _configure_logs(arguments[0])
    try:
        settings = read_settings()
        _check(settings, arguments[0])
    except SettingsError as error:
        sys.stderr.write(f"service {arguments[0]}: {error}\n")
        return 2
    return uvloop.run(roles[arguments[0]](settings))


async def _web(settings: Settings) -> int:
    stop = _stop_on_signals()
    pool = open_pool(
        settings.database_url, settings.pool_size, "onceproof-service web", settings.isolation
    )
    async with Provider(settings.fulfillment_url) as provider:
        app = App(settings, pool, provider)
        runner = app.runner(DRAIN_SECONDS)
        await runner.setup()
        assert runner.server is not None
        lane = FastLane(app.deliveries, runner.server)
        try:
            if settings.ingest == "fast":
                await lane.listen(settings.host, settings.port)
            else:
                await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            log.error("cannot listen", host=settings.host, port=settings.port, error=str(error))
            await runner.cleanup()
            return 1
        addresses = lane.addresses or runner.addresses
        log.info("listening", addresses=addresses, strategy=settings.strategy)
        status = 0
        try:
            app.schema_applied = await _schema_unless_stopped(pool, stop)
            await stop.wait()
        except TimeoutError:
            log.error("the database did not come")
            status = 1
        finally:
            app.draining = True
            log.info("draining")
            await asyncio.sleep(DRAIN_NOTICE_SECONDS)
            await asyncio.gather(lane.drain(DRAIN_SECONDS), runner.cleanup())
            await pool.close(POOL_CLOSE_SECONDS)
        log.info("stopped")
        return status


async def _relay(settings: Settings) -> int:
    stop = _stop_on_signals()
    pool = open_pool(settings.database_url, WORKERS, "onceproof-service relay")
    async with Provider(settings.fulfillment_url) as provider:
        try:
            await _schema_unless_stopped(pool, stop)
            log.info("relaying", relay=settings.relay)
            ship_one = load_relay(settings.relay)
            await run_relay(ship_one, pool, provider, settings.relay_poll_seconds, stop)
        except TimeoutError:
            log.error("the database did not come")
            return 1
        finally:
            await pool.close(POOL_CLOSE_SECONDS)
    return 0


async def _schema(settings: Settings) -> int:
    pool = open_pool(settings.database_url, 1, "onceproof-service schema")
    try:
        await apply_schema_when_reachable(pool)
    except TimeoutError:
        log.error("the database did not come")
        return 1
    finally:
        await pool.close(POOL_CLOSE_SECONDS)
    return 0


async def _schema_unless_stopped(pool: Pool, stop: asyncio.Event) -> bool:
    """True once the schema is there, False if told to stop first; TimeoutError: no database."""
    applying = asyncio.create_task(apply_schema_when_reachable(pool))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({applying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not applying.done():
            return False
        await applying
        return True
    finally:
        for task in (applying, stopping):
            task.cancel()
        await asyncio.gather(applying, stopping, return_exceptions=True)


def _stop_on_signals() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def requested(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requested, number)
    return stop


def _check(settings: Settings, role: str) -> None:
    """What only some roles need."""
    if role == "web" and settings.strategy not in strategy_names():
        names = ", ".join(strategy_names())
        raise SettingsError(f"STRATEGY is {settings.strategy!r}; there are: {names}")
    if role == "relay" and settings.relay not in relay_names():
        names = ", ".join(relay_names())
        raise SettingsError(f"RELAY is {settings.relay!r}; there are: {names}")
    if role == "web" and not settings.secrets:
        raise SettingsError("SHOPIFY_SHARED_SECRET is not set")
    if role in {"web", "relay"} and not settings.fulfillment_url.startswith(
        ("http://", "https://")
    ):
        raise SettingsError("FULFILLMENT_URL is not an http:// or https:// address")


def _configure_logs(role: str) -> None:
    """One JSON object a line on stdout; the standard library's warnings too."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without the values of variables: among them are secrets and customers' data.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
