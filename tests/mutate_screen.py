"""Prove the screen: break it in every small way, and see that its verdicts change.

`python -m tests.mutate_screen [NAME ...]` takes the modules of `results/screen` that decide (or
those named) and changes them as `tests.mutate_checker` does; conditions of columns, too. A mutant
is killed when a run that was planted, drawn by lot or made clean gets another verdict from it than
from its records, when it fails, or when it suspects somebody in a run in which the screen suspects
nobody: such a mutant would be slow, not wrong. Exit status 1 if one survives.

The runs and their verdicts are made once. Each mutant is loaded in a process of its own, forked
before polars has started its threads.
"""

import os
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import msgspec

from tests.mutate_checker import ROOT, Mutant, mutants

MODULES = ("suspects", "states", "orders", "shard", "judge")
SEEDS = 60
SECONDS = 600  # a mutant that needs more hangs
PREPARE = "--prepare"


def prepare(folder: Path) -> None:
    """Write runs, as lines and as columns, and what their records are judged to be."""
    from results.checker import check
    from results.columns import convert
    from tests.unit.results.chaotic import chaotic
    from tests.unit.results.clean import clean, clean_world
    from tests.unit.results.innocent import INNOCENT
    from tests.unit.results.planted import DECLARED, planted
    from tests.unit.results.test_screen import SPECIAL, blind, special, suspects_of, unjudged
    from tests.unit.results.world import write

    convert.SHARD_DELIVERIES = 12  # several shards
    bundles = [blind(planted(name)) for name in DECLARED]
    bundles += [planted(name) for name in DECLARED if " " not in name]
    for close in INNOCENT.values():
        world = clean_world(3)
        close.change(world)
        world.end()
        bundles.append(blind(world.bundle()))
    bundles += [*map(special, SPECIAL), *unjudged()]
    bundles += [blind(clean(seed)) for seed in range(10)]
    bundles += [blind(chaotic(seed)) if seed % 4 else chaotic(seed) for seed in range(SEEDS)]
    for one in bundles:
        run = write(one, folder)
        (run.path / "expected").write_bytes(msgspec.json.encode(check(run.load())))
        if not suspects_of(run):
            (run.path / "quiet").touch()


def load(mutant: Mutant) -> None:
    """Put the mutant in the place of its module."""
    name = mutant.module.removesuffix(".py").replace("/", ".")
    module = types.ModuleType(name)
    module.__file__ = mutant.module
    sys.modules[name] = module
    exec(compile(mutant.source, mutant.module, "exec"), module.__dict__)


def differs(folder: Path) -> bool:
    """Whether some run has another verdict, or a needless suspect."""
    from results.run_folder import RunFolder
    from results.screen.judge import judge_columns
    from tests.unit.results.test_screen import suspects_of

    for path in sorted(folder.glob("*/expected")):
        run = RunFolder(path.parent)
        found = judge_columns(run)
        if found is None or msgspec.json.encode(found) != path.read_bytes():
            return True
        if (run.path / "quiet").exists() and suspects_of(run):
            return True
    return False


def killed(mutant: Mutant, folder: Path) -> bool:
    """Whether the runs tell the mutant from the screen."""
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        status = 1
        try:
            load(mutant)
            status = int(differs(folder))
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] != 0


def main(names: list[str]) -> int:
    """All mutants of some modules."""
    if unknown := set(names) - set(MODULES):
        raise SystemExit(f"no such module: {', '.join(unknown)}; there are {', '.join(MODULES)}")
    survivors, count = 0, 0
    with tempfile.TemporaryDirectory(prefix="onceproof-mutants-") as place:
        folder = Path(place)
        subprocess.run([sys.executable, "-m", __spec__.name, PREPARE, place], cwd=ROOT, check=True)
        if differs_unchanged(folder):
            raise SystemExit("the screen differs from the judges without any mutant")
        for name in names or MODULES:
            for mutant in mutants(f"results/screen/{name}.py"):
                count += 1
                if not killed(mutant, folder):
                    survivors += 1
                    print(f"survived  {mutant.module}:{mutant.line}  {mutant.what}", flush=True)
    print(f"{count - survivors} killed, {survivors} survived, of {count}")
    return 1 if survivors else 0


def differs_unchanged(folder: Path) -> bool:
    """The same question of the screen as it is."""
    module = "results/screen/suspects.py"
    return killed(Mutant(module, 0, "nothing", (ROOT / module).read_text()), folder)


if __name__ == "__main__":
    if PREPARE in sys.argv:
        prepare(Path(sys.argv[-1]))
    else:
        sys.exit(main(sys.argv[1:]))
