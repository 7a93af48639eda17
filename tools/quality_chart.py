"""Draws several results of `benchmarks.quality` in one chart.

python -m tools.quality_chart --out=chart.png benchmarks/results/quality-*.json
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import charts, report, results
from nerf.cli.exits import exit_on_error


def joined(measured: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One result with all curves of each scene.

    Where two results have a curve of the same field, the later one is kept.
    """
    scenes: dict[tuple[Any, ...], dict[str, Any]] = {}
    for result in measured:
        for scene in result["scenes"]:
            key = scene["scene"], scene["source"], *scene["resolution"]
            together = scenes.setdefault(key, {**scene, "curves": []})
            named = {curve["field"]: curve for curve in (*together["curves"], *scene["curves"])}
            together["curves"] = list(named.values())
    return {"scenes": list(scenes.values())}


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the .png to write")
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE", help="results to draw")
    args = parser.parse_args(argv)
    with exit_on_error(out_of_memory="draw fewer results"):
        result = joined(results.read(path, "quality") for path in args.results)
        for scene in result["scenes"]:
            print(report.quality(scene) + "\n")
        charts.write_quality_chart(args.out, result)
        print(f"chart: {args.out}")


if __name__ == "__main__":
    main()
