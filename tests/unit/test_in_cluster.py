"""The folder that comes back from a runner in the cluster, and what is made there for it."""

import io
import tarfile
from pathlib import Path

import pytest
import yaml

from cluster.journal import Journal, read_journal
from cluster.kube.manifests import OWN_KINDS, RUN
from results.errors import ConfigError
from results.footprint import Created
from scenarios.engine.catalog import load_scenario
from scenarios.engine.config import OWN_CONFIG, load_config
from scenarios.engine.in_cluster import objects, refuse, unpack
from scenarios.engine.plan import ClusterTarget, RunPlan, open_folder

TARGET = ClusterTarget(context=None, namespace="chaos", image="an/image")


def planned(name: str, runs: Path) -> RunPlan:
    return RunPlan(
        name=name, scenario=load_scenario(name)[1], config=load_config(OWN_CONFIG),
        strategy="insert_first", provider="honours", seed=1, runs=runs, cluster=TARGET,
    )  # fmt: skip


def packed(files: dict[str, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    made.seek(0)
    return made


def test_its_files_come_and_nothing_outside_the_folder_is_written(tmp_path: Path) -> None:
    plan = planned("distinct_ids", tmp_path / "here")
    folder, there = open_folder(plan), open_folder(planned("distinct_ids", tmp_path / "there"))
    with Journal(there.journal) as journal:
        journal.append(Created(path="/there", at_ns=1))
    with Journal(folder.journal) as journal:
        journal.append(Created(path="/here", at_ns=0))
        files = {
            "./manifest.json": there.manifest.read_bytes(),
            "./journal.jsonl": there.journal.read_bytes(),
            "./charts/a.png": b"picture", "../outside": b"x", "/tmp/outside-of-all": b"x",
        }  # fmt: skip
        unpack(packed(files), folder, journal)

    assert (folder.charts / "a.png").read_bytes() == b"picture"
    assert folder.read_manifest().run_id == folder.path.name
    paths = [one.path for one in read_journal(folder.journal) if isinstance(one, Created)]
    assert paths == ["/here", "/there"]
    assert not (folder.path.parent / "outside").exists()
    assert not Path("/tmp/outside-of-all").exists()


def test_half_an_archive_changes_nothing(tmp_path: Path) -> None:
    folder = open_folder(planned("distinct_ids", tmp_path))
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    whole = packed({"./manifest.json": b"{}", "./wire.jsonl": bytes(100_000)}).getvalue()
    with Journal(folder.journal) as journal:
        for part in (whole[: len(whole) // 2], packed({"./other": b""}).getvalue()):
            with pytest.raises((tarfile.TarError, EOFError)):
                unpack(io.BytesIO(part), folder, journal)
    after = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert after == before | {folder.journal: b""}


def test_all_that_is_made_for_it_goes_by_its_label(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("scenario = None")
    made = objects(planned("kill_commit_dropped", tmp_path), TARGET, str(mine), "r1", "r2")

    assert {one["kind"] for one in made} <= set(OWN_KINDS)
    assert {one["metadata"]["labels"][RUN] for one in made} == {"r1"}
    job = next(one for one in made if one["kind"] == "Job")
    assert job["spec"]["backoffLimit"] == 0
    pod = job["spec"]["template"]
    assert pod["metadata"]["labels"][RUN] == "r1"
    (container,) = pod["spec"]["containers"]
    assert container["args"][:2] == ["run", "/scenario/mine.py"]
    assert container["args"][container["args"].index("--label") + 1] == "r2"
    assert yaml.safe_dump(made)


@pytest.mark.parametrize("name", ["node_drained", "node_lost"])
def test_what_needs_rights_on_nodes_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rights on nodes"):
        refuse(planned(name, tmp_path))
