"""One chart of several results of `benchmarks.quality`.

python -m tools.quality_chart --out=chart.png benchmarks/results/quality-*.json
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import charts, report
from nerf.errors import UserError


def read(path: Path) -> dict[str, Any]:
    """A result of that benchmark.

    Raises:
      UserError: if it is none.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no result that can be read: {error}") from error
    if not isinstance(result, dict) or result.get("benchmark") != "quality":
        raise UserError(f"{path} is no result of benchmarks.quality: name files it has written")
    return result


def joined(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """All curves of each scene together; of two with the same field, the later counts."""
    scenes: dict[tuple[Any, ...], dict[str, Any]] = {}
    for result in results:
        for scene in result["scenes"]:
            key = scene["scene"], scene["source"], *scene["resolution"]
            together = scenes.setdefault(key, {**scene, "curves": []})
            named = {curve["field"]: curve for curve in (*together["curves"], *scene["curves"])}
            together["curves"] = list(named.values())
    return {"scenes": list(scenes.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the .png to write")
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE", help="what to draw")
    args = parser.parse_args()
    try:
        result = joined(map(read, args.results))
        for scene in result["scenes"]:
            print(report.quality(scene) + "\n")
        charts.write_quality_chart(args.out, result)
    except UserError as error:
        parser.exit(1, f"error: {error}\n")
    except OSError as error:
        parser.exit(1, f"error: {error.filename} cannot be written: {error.strerror}\n")
    print(f"chart: {args.out}")


if __name__ == "__main__":
    main()
