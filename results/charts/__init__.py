"""The charts of a run, each with the numbers that it draws beside it.

| chart | what it answers |
|---|---|
| `timeline` | what was done to the service, and what came of its deliveries? |
| `kills` | which way to end a replica hits a transaction? |
| `latency` | how long did answers take while it was done? did the sender have to wait? |
| `heatmap` | every answer: is there a freeze, a second way to answer, a straggler? |
| `percentiles` | how slow are the slowest? |
| `generator` | was the sender itself good enough to believe the rest? |
| `resources` | did memory, files, connections or disk leak? (long runs) |
| `counterexample` | the smallest history that shows a broken promise |

Each is NAME.png, NAME.svg and NAME.json in the run's `charts/`; a chart that a run has no data for
is not left there from an earlier time. A matrix has `matrix` and `price` beside its matrix.json.
One module draws one chart, from a struct that a pure function computed; `style.py` says how they
look. Limits keep each of them quick to draw and to read, whatever the length of the run.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from results.bundle import Bundle
from results.charts.counterexample import counterexample_figures
from results.charts.generator import generator_figures
from results.charts.heatmap import heatmap_figures
from results.charts.kills import kill_figures
from results.charts.latency import latency_figures
from results.charts.percentiles import percentiles_figures
from results.charts.resources import resource_figures
from results.charts.style import Figures, write
from results.charts.timeline import timeline_figures
from results.steps import Timeline
from results.verdict import Verdict

CHARTS = ("timeline", "latency", "heatmap", "percentiles", "generator", "counterexample")
ALL_CHARTS = (*CHARTS, "kills", "resources")  # with what only some runs have


def draw_charts(
    bundle: Bundle, verdict: Verdict, timelines: Sequence[Timeline], folder: Path,
    names: Collection[str] = ALL_CHARTS,
) -> None:  # fmt: skip
    """Write these charts of a run into `folder`; remove the other ones of an earlier time."""
    salt = bundle.manifest.run_id
    for name in ALL_CHARTS:
        figures = _figures(name, bundle, verdict, timelines) if name in names else None
        if figures is None:
            for kind in ("png", "svg", "json"):
                (folder / f"{name}.{kind}").unlink(missing_ok=True)
        else:
            write(folder, name, figures, salt=salt)


def _figures(
    name: str, bundle: Bundle, verdict: Verdict, timelines: Sequence[Timeline]
) -> Figures | None:
    match name:
        case "timeline":
            return timeline_figures(bundle, verdict)
        case "kills":
            return kill_figures(bundle)
        case "latency":
            return latency_figures(bundle)
        case "heatmap":
            return heatmap_figures(bundle)
        case "percentiles":
            return percentiles_figures([("from the intended send", bundle)])
        case "generator":
            return generator_figures(bundle, verdict)
        case "resources":
            return resource_figures(bundle.resources)
        case "counterexample" if timelines:
            return counterexample_figures(timelines[0])
    return None
