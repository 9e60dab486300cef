"""The files of runs that a site links to, copied while there is room for them.

Whoever publishes a matrix of hundreds of runs shall not find out from the host that a site may not
be that large: each file and all of them together have a limit, and what was left out is named.
Only plain files with an expected ending are taken; a link could lead out of the run's folder.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

FILE_MAX_BYTES = 4 << 20
ALL_MAX_BYTES = 200 << 20
CHARTS = (".png", ".svg", ".json")
TOLD_MAX = 3


class SiteFiles:
    """Copies into `<site>/runs`, which takes the place of the one before when all is there."""

    def __init__(self, site: Path) -> None:
        self._final = site / "runs"
        self._part = site / ".runs.part"
        self._room = ALL_MAX_BYTES
        self._names: set[str] = set()
        self._hrefs: dict[Path, str] = {}
        self._left_out: list[str] = []
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()

    def take_run(self, run: Path) -> None:
        """Copy a run's report and charts, once."""
        if run / "report.html" in self._hrefs:
            return
        name = self._unused(run.name)
        self._take(run / "report.html", name)
        for chart in sorted((run / "charts").glob("*")):
            if chart.suffix in CHARTS:
                self._take(chart, f"{name}/charts")

    def take_pictures(self, pictures: Sequence[Path]) -> None:
        """Copy pictures that lie in one folder, into a folder named like it."""
        name = self._unused(pictures[0].parent.name)
        for picture in pictures:
            self._take(picture, name)

    def href(self, file: Path | None) -> str:
        """The address of a copied file on the site; empty where it was not copied."""
        return self._hrefs.get(file, "") if file else ""

    def finish(self) -> list[str]:
        """Put the copies in their place; what was left out, in words."""
        shutil.rmtree(self._final, ignore_errors=True)
        self._part.replace(self._final)
        if not self._left_out:
            return []
        more = len(self._left_out) - TOLD_MAX
        told = ", ".join(self._left_out[:TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
        return [
            f"{len(self._left_out)} files were not copied, for a file may have "
            f"{FILE_MAX_BYTES >> 20} MiB and all of them {ALL_MAX_BYTES >> 20} MiB: {told}."
        ]

    def _take(self, file: Path, below: str) -> None:
        if file.is_symlink() or not file.is_file():
            return
        length = file.stat().st_size
        if length > min(FILE_MAX_BYTES, self._room):
            self._left_out.append(f"{below}/{file.name}")
            return
        self._room -= length
        target = self._part / below / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        self._hrefs[file] = quote(f"runs/{below}/{file.name}")

    def _unused(self, name: str) -> str:
        """Runs of two slots may have one name."""
        number, unused = 1, name
        while unused in self._names:
            number += 1
            unused = f"{name}-{number}"
        self._names.add(unused)
        return unused
