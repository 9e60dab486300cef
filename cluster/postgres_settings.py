"""The configuration of every Postgres that we start: on this machine, and in a pod.

Durability is real: fsync, full_page_writes and synchronous_commit are on and written down, since a
proof about COMMIT is worth nothing without them. The log tells what the server does and never what
it is told. Where two places must differ (who may connect, and how many), the caller says so; what
is not named here is Postgres' own default.
"""

_SETTINGS = {
    "unix_socket_directories": "''",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "deadlock_timeout": "200ms",
    "dynamic_shared_memory_type": "mmap",  # in the data folder: nothing stays in /dev/shm
    "log_line_prefix": "'%m [%p] %a %x '",
    "log_min_messages": "log",  # errors name values: "invalid input syntax for …"
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",  # no DETAIL, CONTEXT, QUERY
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_lock_waits": "on",
    "timezone": "'UTC'",
}
REPORTED = (  # what a run says about the server that it used
    "server_version",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "max_connections",
    "deadlock_timeout",
    "client_connection_check_interval",
    "idle_in_transaction_session_timeout",
    "default_transaction_isolation",
    "autovacuum",
    "shared_buffers",
)


def configuration(*, listen: str, port: int, connections_max: int) -> str:
    """The text of a configuration file; `listen` is one address, or * for all."""
    own = {"listen_addresses": f"'{listen}'", "port": port, "max_connections": connections_max}
    return "".join(f"{name} = {value}\n" for name, value in (own | _SETTINGS).items())
