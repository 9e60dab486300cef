"""Who we are to the API server: the one file that imports `kubernetes`.

The library knows every way to find a cluster and to prove oneself (kubeconfig, client
certificates, tokens, exec plugins, a pod's own service account); all else is plain JSON over
HTTPS, which `gateway` speaks itself: the library's generated models refuse fields that a newer
cluster sends, and its exec takes over the client it runs on. Importing it costs a second, so it
is imported when a cluster is asked for and not before.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from results.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how to prove oneself to it."""

    context: str
    host: str  # https://...
    tls: ssl.SSLContext | bool
    _configuration: Any

    async def headers(self) -> dict[str, str]:
        """The proof for one request; a token that expires is renewed by the library."""
        found: dict[str, str] = {}
        for setting in (await self._configuration.auth_settings()).values():
            if setting["in"] == "header" and setting["value"]:
                found[setting["key"]] = setting["value"]
        return found

    def session(self) -> aiohttp.ClientSession:
        """A session of its own: no two parts of a run share connections."""
        connector = aiohttp.TCPConnector(ssl=self.tls, limit=0, keepalive_timeout=30)
        session = aiohttp.ClientSession(connector=connector, trust_env=False)
        # A GET whose connection breaks is not sent again behind our back: a command in a container
        # is one, and would be carried out twice.
        session._retry_connection = False
        return session


async def find_access(context: str | None) -> Access:
    """The cluster of a kubeconfig's context, or the one that we run in; ConfigError without."""
    from kubernetes.aio import client, config
    from kubernetes.aio.config import ConfigException

    configuration = client.Configuration()  # the library's own loaders have no types
    try:
        if context is None and "KUBERNETES_SERVICE_HOST" in os.environ and not kubeconfig():
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
            name = "in-cluster"
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=os.pathsep.join(map(str, kubeconfig())) or None,
                context=context,
                client_configuration=configuration,
            )
            name = context or current_context()
        tls = tls_of(configuration)
    except (ConfigException, OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"No Kubernetes cluster was found: {error}. Set KUBECONFIG, or name a context of it "
            "with --context (`kubectl config get-contexts` lists them)."
        ) from None
    return Access(name, configuration.host.rstrip("/"), tls, configuration)


def kubeconfig() -> list[Path]:
    """The kubeconfig files that are there."""
    named = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return [path for part in named.split(os.pathsep) if (path := Path(part)).is_file()]


def current_context() -> str:
    """The context that kubectl would use now."""
    for path in kubeconfig():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("current-context"):
            return str(content["current-context"])
    return ""


def tls_of(configuration: Any) -> ssl.SSLContext | bool:
    """The trust and the certificate of a configuration."""
    if not configuration.host.startswith("https"):
        return False
    context = ssl.create_default_context(
        cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
    )
    # Many a cluster's own authority lacks an extension that strict checking asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
