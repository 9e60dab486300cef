"""The one chart of a run: what arrived, how long it took, what was done to it, what came of it.

Above: deliveries per second, stacked by what the sender could conclude (ok, unknown, refused).
Below: latency of the acknowledged ones from the *intended* send, p50 and p99 per window, on a log
axis: a sender that had to wait cannot hide a stall. Across both: every injected fault, a band from
inject to heal or a line where nothing was healed. The title states the verdict; red is reserved
for a broken promise.

The PNG and the SVG are reproducible: fixed hash salt, no date. matplotlib is imported inside the
functions (0.3 s): every command would pay for it otherwise. The SVG's ink and paper have colours
that the report can replace, so that one drawing serves light and dark pages.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.bundle import Bundle
from results.latency import latency_ms
from results.records import Delivery, FaultRecord, Outcome, Stage
from results.verdict import Validity, Verdict
from results.wording import headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, PAPER = "#1a1c1f", "#fefefe"  # the report maps these two to its own colours
MUTED = "#80868f"
BROKEN = "#c62828"
COLOURS = {Outcome.OK: "#3b78c4", Outcome.INFO: "#e69f00", Outcome.FAIL: "#8e7cc3"}
NAMES = {Outcome.OK: "ok", Outcome.INFO: "unknown", Outcome.FAIL: "refused"}
P50, P99 = "#3b78c4", "#5b3a8e"
BAND = "#9aa0a8"

Fault = tuple[float, float, str]  # begin and end in seconds of the run, what it was


def draw_timeline(bundle: Bundle, verdict: Verdict, folder: Path) -> tuple[Path, Path]:
    """Write `timeline.png` and `timeline.svg` into `folder` (made when missing)."""
    import matplotlib as mpl  # noqa: PLC0415 - slow, see the module

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / "timeline.png", folder / "timeline.svg"
    with mpl.rc_context(chart_style(bundle.manifest.run_id)):
        figure, (above, below) = plt.subplots(
            2, 1, sharex=True, figsize=(10, 5.2), height_ratios=[2, 3], layout="constrained"
        )
        _draw(figure, above, below, bundle, verdict)
        save(figure, png, svg)
        plt.close(figure)
    return png, svg


def chart_style(salt: str) -> dict[Any, Any]:
    """What all drawings share; the salt makes the ids inside an SVG the same each time."""
    return {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "xtick.color": INK,
        "ytick.color": INK,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,  # a `$` in a name is a dollar
    }


def save(figure: Any, png: Path, svg: Path) -> None:
    """Write both files, without a date or a version in them."""
    figure.savefig(png, dpi=150, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None, "Creator": None})


def _draw(figure: Any, above: "Axes", below: "Axes", bundle: Bundle, verdict: Verdict) -> None:
    deliveries = bundle.history.deliveries
    origin_ns = min((item.intent.intended_ns for item in deliveries), default=0)
    length = max((_ended_ns(item) - origin_ns for item in deliveries), default=0) / 1e9
    window = _window_seconds(length)
    broken = verdict.validity is Validity.INVALID
    figure.suptitle(
        printable(headline(verdict)),
        parse_math=False,
        x=0.012,
        ha="left",
        fontweight="bold",
        fontsize=12,
        color=BROKEN if broken else INK,
        wrap=True,
    )
    _draw_arrivals(above, deliveries, origin_ns, length, window)
    _draw_latency(below, deliveries, origin_ns, length, window)
    faults = fault_spans(bundle.faults, origin_ns, length)
    for axes in (above, below):
        axes.grid(axis="y", color=MUTED, alpha=0.22, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlim(0, max(length, 0.001))
        for begin, end, _ in faults:
            if end - begin > length / 200:
                axes.axvspan(begin, end, color=BAND, alpha=0.28, linewidth=0, zorder=0)
            axes.axvline(begin, color=BAND, linewidth=0.9, linestyle=(0, (3, 2)))
    _label_faults(above, faults, length)
    below.set_xlabel("seconds since the first delivery")


def _draw_arrivals(
    axes: "Axes", deliveries: Sequence[Delivery], origin_ns: int, length: float, window: float
) -> None:
    count = max(1, int(length / window) + 1)
    edges = [n * window for n in range(count + 1)]
    bottom = [0.0] * count
    for outcome in (Outcome.OK, Outcome.INFO, Outcome.FAIL):
        rates = [0.0] * count
        for item in deliveries:
            if item.outcome == outcome:
                at = (item.intent.intended_ns - origin_ns) / 1e9
                rates[min(count - 1, int(at / window))] += 1 / window
        if not any(rates):
            continue
        top = [low + rate for low, rate in zip(bottom, rates, strict=True)]
        axes.stairs(
            top, edges, baseline=bottom, fill=True, color=COLOURS[outcome], label=NAMES[outcome]
        )
        bottom = top
    axes.set_ylabel("deliveries per second")
    if any(bottom):
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handlelength=1)


def _draw_latency(
    axes: "Axes", deliveries: Sequence[Delivery], origin_ns: int, length: float, window: float
) -> None:
    bins: dict[int, list[float]] = defaultdict(list)
    for item in deliveries:
        took_ms = latency_ms(item)
        if took_ms is None:
            continue
        bins[int((item.intent.intended_ns - origin_ns) / 1e9 / window)].append(max(0.01, took_ms))
    axes.set_ylabel("latency from the\nintended send, ms")
    if not bins:
        axes.text(0.5, 0.5, "no delivery was acknowledged", transform=axes.transAxes, ha="center")
        return
    middles = [min(length, (n + 0.5) * window) for n in sorted(bins)]
    for share, colour, name in ((0.99, P99, "p99"), (0.50, P50, "p50")):
        values = [_quantile(sorted(bins[n]), share) for n in sorted(bins)]
        axes.plot(middles, values, color=colour, linewidth=1.8, marker="o", markersize=2.5)
        axes.annotate(
            name,
            (middles[-1], values[-1]),
            xytext=(6, 4 if share > 0.5 else -9),
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            annotation_clip=False,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda _value, _position: "")


def _label_faults(axes: "Axes", faults: Sequence[Fault], length: float) -> None:
    """Name the faults above the chart; those that stand close share one label with their count."""
    groups: list[list[Fault]] = []
    for fault in faults:
        if groups and fault[0] - groups[-1][0][0] < length / 6:
            groups[-1].append(fault)
        else:
            groups.append([fault])
    for group in groups:
        kinds = Counter(name.split()[0] for _, _, name in group)
        several = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
        axes.annotate(
            printable(group[0][2] if len(group) == 1 else several),
            (group[0][0], 1.0),
            parse_math=False,
            xycoords=("data", "axes fraction"),
            xytext=(2, 3),
            textcoords="offset points",
            color=MUTED,
            fontsize=8,
        )


def fault_spans(faults: Sequence[FaultRecord], origin_ns: int, length: float) -> list[Fault]:
    """Begin, end and name of every injected fault, in seconds since `origin_ns`."""
    healed = {fault.fault_id: fault.at_ns for fault in faults if fault.stage == Stage.HEAL}
    spans = []
    for fault in sorted(faults, key=lambda fault: fault.at_ns):
        if fault.stage != Stage.INJECT:
            continue
        begin = (fault.at_ns - origin_ns) / 1e9
        end = (healed.get(fault.fault_id, fault.at_ns) - origin_ns) / 1e9
        if begin <= length:
            spans.append((max(0.0, begin), min(end, length), f"{fault.kind} {fault.replica}"))
    return spans


def printable(text: str) -> str:
    """Replace what has no glyph: a hostile name must not break the drawing or the SVG's XML."""
    return "".join(char if char.isprintable() and char < "\u3000" else "\ufffd" for char in text)


def _window_seconds(length: float) -> float:
    """About 60 windows, of a length that a person would choose."""
    return next(
        (step for step in (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30) if length <= step * 60), 60
    )


def _ended_ns(item: Delivery) -> int:
    return item.completion.done_ns if item.completion else item.intent.intended_ns


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
