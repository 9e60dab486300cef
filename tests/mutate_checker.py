"""Prove the prover: break each judge in every small way, and see that its tests notice.

`python -m tests.mutate_checker [NAME ...]` takes the anomalies, what they are made of, the coverage
and the doubts (or the modules named), and one after the other negates each comparison, drops each
yield, each guard, each condition of a comprehension, each part of an `and` or `or` and each need of
a `needs.first`. A mutant is killed when the unit tests of `results` fail with it (or hang). Exit
status 1 if one survives: then a test is missing, or the line does nothing. The checkout is not
touched: mutants live in copies of it.
"""

import ast
import copy
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_PREDICATE = {"__init__.py", "catalogue.py"}
BESIDE = ("results/causes.py", "results/health.py", "results/naming.py", "results/overlap.py",
          "results/coverage.py", "results/doubts.py", "results/figures.py",
          "results/stock.py")  # fmt: skip
TESTS = "tests/unit/results"
CPU_SECONDS = 120  # one that needs more hangs; a busy machine's time must not kill anybody
TIMEOUT_SECONDS = 3_600
LIMITED = (
    f"import resource, sys, pytest; resource.setrlimit(resource.RLIMIT_CPU, ({CPU_SECONDS}, ) * 2);"
    "sys.exit(pytest.main(sys.argv[1:]))"
)
HUNG = (-signal.SIGKILL, -signal.SIGXCPU)
LEAVES = (ast.Continue, ast.Break, ast.Return)
QUICK = (
    "coverage_figures",
    "near_misses",
    "verdict_unknown",
    "not_judged",
    "health",
    "two_shops",
)  # most mutants die here


class Mutant(NamedTuple):
    """One change of one module."""

    module: str
    line: int
    what: str
    source: str


def targets(names: list[str]) -> list[str]:
    """The modules to break, relative to the checkout."""
    folder = ROOT / "results" / "anomalies"
    modules = [f"results/anomalies/{path.name}" for path in sorted(folder.glob("*.py"))
               if path.name not in WITHOUT_PREDICATE]  # fmt: skip
    known = {Path(name).stem: name for name in (*modules, *BESIDE)}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no such module: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def mutants(module: str) -> Iterator[Mutant]:
    """Every mutant of a module, each with exactly one change."""
    tree = ast.parse((ROOT / module).read_text())
    for index, node in enumerate(ast.walk(tree)):
        for number, what in enumerate(changes(node)):
            changed = copy.deepcopy(tree)
            victim = list(ast.walk(changed))[index]
            replace(changed, victim, mutate(victim, number))
            source = ast.unparse(ast.fix_missing_locations(changed))
            at = node.ifs[number] if isinstance(node, ast.comprehension) else node
            yield Mutant(module, getattr(at, "lineno", 0), what, source)


def changes(node: ast.AST) -> list[str]:
    """What can be done to a node, in words; `mutate` does them by number."""
    match node:
        case ast.Compare():
            return [f"negated: {ast.unparse(node)}"]
        case ast.Expr(
            value=ast.Yield()
            | ast.YieldFrom()
            | ast.Call(func=ast.Attribute(value=ast.Name(id="conditions"), attr="append"))
        ):
            return [f"dropped: {ast.unparse(node).splitlines()[0][:60]}"]
        case ast.If(orelse=[]):
            return [f"guard dropped: if {ast.unparse(node.test)}"]
        case ast.comprehension(ifs=[_, *_]):
            return [f"condition dropped: if {ast.unparse(one)}" for one in node.ifs]
        case ast.BoolOp():
            return [f"part dropped: {ast.unparse(one)}" for one in node.values]
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
            return [f"part dropped: {ast.unparse(one)}" for one in (node.left, node.right)]
        case ast.List(elts=[_, *_]) | ast.Call(func=ast.Name(id="_any"), args=[_, *_]):
            return [f"condition dropped: {ast.unparse(one)}" for one in conditions(node)]
        case ast.Call(func=ast.Attribute(attr="first"), args=[_, _, *_]):
            return [f"need dropped: {ast.unparse(one)}" for one in node.args]
    return []


def conditions(node: ast.List | ast.Call) -> list[ast.expr]:
    """The parts of a list, or of the arguments of `_any`, if they are conditions of columns."""
    whole = node.elts if isinstance(node, ast.List) else node.args
    return whole if any("pl.col" in ast.unparse(one) for one in whole) else []


def mutate(node: ast.AST, number: int) -> list[ast.AST]:
    """What stands in the node's place; changes a comprehension where it is."""
    match node:
        case ast.Compare():  # of columns, or of values
            columns = "pl." in ast.unparse(node)
            return [ast.UnaryOp(op=ast.Invert() if columns else ast.Not(), operand=node)]
        case ast.BinOp():
            return [(node.right, node.left)[number]]
        case ast.List() | ast.Call(func=ast.Name()):
            del (node.elts if isinstance(node, ast.List) else node.args)[number]
            return [node]
        case ast.If() if not isinstance(node.body[-1], LEAVES):
            return list(node.body)  # what it guarded is done always
        case ast.comprehension():
            del node.ifs[number]
            return [node]
        case ast.BoolOp():
            del node.values[number]
            return [node.values[0] if len(node.values) == 1 else node]
        case ast.Call():
            del node.args[number]
            return [node]
    return [ast.Pass()]


def replace(tree: ast.AST, victim: ast.AST, others: list[ast.AST]) -> None:
    """Put other nodes in the place of one."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is victim:
                setattr(parent, name, others[0])
                return
            if isinstance(value, list) and any(one is victim for one in value):
                place = next(at for at, one in enumerate(value) if one is victim)
                value[place : place + 1] = others
                return
    raise AssertionError("the node is not in its own tree")


def passes(copy_of_checkout: Path) -> bool:
    """Whether the unit tests of results pass there."""
    quick = [f"{TESTS}/test_{name}.py" for name in QUICK]
    try:
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, "-x", "-q", "-n0", "-p", "no:cacheprovider",
             "--hypothesis-seed=0", *quick, TESTS],
            cwd=copy_of_checkout, capture_output=True, timeout=TIMEOUT_SECONDS,
            env={**os.environ, "PYTHONPATH": str(copy_of_checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1, *HUNG):  # 1: tests failed; anything else is no verdict
        raise SystemExit(done.stdout.decode()[-3000:] + done.stderr.decode()[-3000:])
    return done.returncode == 0


def checkout(folder: Path) -> Path:
    """A copy of what the tests need."""
    for name in ("results", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "runs", "published")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def survives(mutant: Mutant, free: "queue.Queue[Path]") -> bool:
    """Run the tests with one mutant in a copy that nobody else uses."""
    place = free.get()
    file = place / mutant.module
    kept = file.read_text()
    try:
        file.write_text(mutant.source)
        return passes(place)
    finally:
        file.write_text(kept)
        free.put(place)


def main() -> int:
    """All mutants, at most one a core at a time."""
    workers = os.cpu_count() or 1
    all_mutants = [one for module in targets(sys.argv[1:]) for one in mutants(module)]
    free: queue.Queue[Path] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="onceproof-mutants-") as folder:
        for number in range(workers):
            free.put(checkout(Path(folder) / str(number)))
        if not passes(free.queue[0]):
            raise SystemExit("the tests fail without any mutant")
        survivors = 0
        with ThreadPoolExecutor(workers) as pool:
            fates = pool.map(lambda one: survives(one, free), all_mutants)
            for mutant, survived in zip(all_mutants, fates, strict=True):
                survivors += survived
                if survived:
                    print(f"survived  {mutant.module}:{mutant.line}  {mutant.what}", flush=True)
    print(f"{len(all_mutants) - survivors} killed, {survivors} survived, of {len(all_mutants)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
