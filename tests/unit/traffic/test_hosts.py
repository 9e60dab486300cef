"""Whom the swarm may be aimed at."""

import pytest

from loadtests.hosts import read_hosts, require_allowed

NAMED = read_hosts("staging.example.com, Xn--Other.Example,10.1.2.3,FD00::1")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://LOCALHOST:3000/",
        "http://127.0.0.1:3000",
        "http://127.255.0.9",
        "https://[::1]:8443/base",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::ffff:127.0.0.1]:1",
        "https://staging.example.com",
        "http://STAGING.Example.com:8080/base",
        "http://xn--other.example",
        "http://10.1.2.3:80",
        "http://[fd00:0:0::1]:80",
    ],
)
def test_this_machine_and_named_hosts_may_be_sent_to(url: str) -> None:
    require_allowed([url], NAMED)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://staging.example.com.",
        "https://staging.example.com.evil.example",
        "https://evil-staging.example.com",
        "https://www.staging.example.com",
        "https://staging-example.com",
        "http://localhost.",
        "http://localhost.evil.example",
        "http://app.localhost",
        "http://127.0.0.1.evil.example",
        "http://127.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://0.0.0.0",
        "http://[::]",
        "http://10.1.2.4",
        "http://192.168.0.1:3000",
        "http://172.16.0.1",
        "http://169.254.169.254",
        "http://[fd00::2]",
        "http://[fe80::1]",
        "http://[::ffff:10.1.2.4]",
        "http://127.0.0.1%2eevil.example",
        "http://１２７.0.0.1",
        "http://evil.example#@localhost",
        "http://evil.example?@localhost",
        "http://evil.example/@localhost",
        "http://evil.example\\.localhost",
        "http://loc\nalhost.evil.example",
    ],
)  # fmt: skip
def test_any_other_host_is_refused_with_what_to_do(url: str) -> None:
    with pytest.raises(ValueError, match="is not this machine") as caught:
        require_allowed(["http://localhost", url], NAMED)
    assert "--allow-host" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://localhost@evil.example", "http://evil.example@localhost", "http://me:hush@127.0.0.1",
     "http://@localhost", "http://localhost\\@evil.example"],
)  # fmt: skip
def test_a_user_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="no user and no password") as caught:
        require_allowed([url], NAMED | read_hosts("evil.example"))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "localhost", "http:localhost", "http://", "http://:80", "http://[::1",
            "http://localhost:port", "http:///localhost"]
)  # fmt: skip
def test_what_names_no_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected http://host:port"):
        require_allowed([url], NAMED)


@pytest.mark.parametrize(
    "given", ["https://staging.example.com", "staging.example.com:80", "*.example.com", "a/b",
              "[::1]", "me@host", "one two"]
)  # fmt: skip
def test_only_bare_names_can_be_allowed(given: str) -> None:
    with pytest.raises(ValueError, match="--allow-host"):
        read_hosts(f"good.example,{given}")


def test_without_names_only_this_machine_is_left() -> None:
    assert read_hosts(" , ") == frozenset()
    require_allowed(["http://127.0.0.1"], read_hosts(""))
    with pytest.raises(ValueError, match="not this machine"):
        require_allowed(["http://staging.example.com"], read_hosts(""))
