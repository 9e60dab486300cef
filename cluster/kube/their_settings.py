"""The settings file of a service that reads its database from one: a file of a volume of its pods.

A pod has such a file from a ConfigMap or a Secret that is mounted. While a run lasts its volume
comes from a Secret of the run's own, which holds what theirs holds, with the one file made anew:
so nothing of the user's is written to but the Deployment, whose volume is given back as it was.

Limits: a volume of one ConfigMap or one Secret, not a projected one; one file.
"""

import base64
from dataclasses import dataclass, field

from cluster.kube.gateway import Gateway
from cluster.kube.kinds import Manifest
from cluster.kube.manifests import label
from results.errors import ConfigError

NAME = "onceproof-settings"  # of the Secret
SOURCES = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName")}


@dataclass(frozen=True, slots=True)
class TheirSettings:
    """The volume, the key of the file in what it is made from, and all that stands there."""

    volume: str
    file: str
    held: dict[str, str] = field(repr=False)  # base64, by key

    def secret(self, text: str, namespace: str, run: str) -> Manifest:
        """The same as a Secret of a run's, with the file made anew."""
        metadata: Manifest = {"name": NAME, "namespace": namespace}
        label(metadata, run)
        data = {**self.held, self.file: base64.b64encode(text.encode()).decode()}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata,
                "data": data}  # fmt: skip


async def find_settings(
    gateway: Gateway, pod: Manifest, settings: str, where: str
) -> TheirSettings:  # fmt: skip
    """Read `VOLUME/FILE` of a pod's spec; ConfigError for what is not there or not so made."""
    volume, _, file = settings.partition("/")
    at = place_of(pod, volume)
    source = pod["volumes"][at] if at is not None else {}
    for key, (kind, name) in SOURCES.items():
        if key in source:
            found = await gateway.get(kind, source[key][name]) or {}
            held = dict(found.get("data") or {})
            if kind == "ConfigMap":
                held = {one: base64.b64encode(text.encode()).decode() for one, text in held.items()}
                held |= found.get("binaryData") or {}
            if file in held:
                return TheirSettings(volume, file, held)
            raise ConfigError(
                f"{where} has a volume {volume} from the {kind} {source[key][name]}, which holds "
                f"{', '.join(sorted(held)) or 'nothing'}, and no {file!r}. It is `settings` under "
                "[kubernetes] in onceproof.toml."
            )
    raise ConfigError(
        f"{where} has no volume {volume!r} that comes from one ConfigMap or one Secret. `settings` "
        "under [kubernetes] in onceproof.toml is VOLUME/FILE."
    )


def replaced(source: Manifest) -> Manifest:
    """A volume as it stands, from our Secret: the same items under the same modes."""
    (kind,) = [key for key in SOURCES if key in source]
    kept = {key: one for key, one in source[kind].items() if key in ("items", "defaultMode")}
    return {"name": source["name"], "secret": {"secretName": NAME, **kept}}


def is_ours(source: Manifest) -> bool:
    """Whether a volume comes from our Secret."""
    return bool(source.get("secret", {}).get("secretName") == NAME)


def place_of(pod: Manifest, volume: str) -> int | None:
    """Where a volume stands among a pod's; None if nowhere."""
    names = [one["name"] for one in pod.get("volumes") or ()]
    return names.index(volume) if volume in names else None
