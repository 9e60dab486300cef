"""The pump: sends what it is told at the time that it is told, and tells what came back.

A generator inside Locust shares one thread with the web form, the users and their statistics: it
sends late whenever they are busy, and spends most of its time on objects. So the data plane is a
process of its own, one for each sending Locust, on plain non-blocking sockets; Locust stays the
control plane. What is sent, when, to whom, how it is signed and whether it is sent again is decided
there (`loadtests.webhook_users`); a burst comes here as finished bytes with a due time.

Each attempt is sent once. Nothing is re-sent behind the back of whoever reads the history, which is
written here: an intent before its first byte, a completion after its answer (`book`).

| module | what |
|---|---|
| `frames` | what the two processes tell each other |
| `link` | Locust's end: starts the pump, hands bursts over, hears what came back |
| `engine` | the loop: due times, releases, time-outs |
| `connection`, `targets` | sockets, TLS, names; where a request may go |
| `response` | what an HTTP/1.1 answer says |
| `book` | the history |

Limits: Linux (epoll), HTTP/1.1 without pipelining. `--transport locust` is there for the rest.
"""
