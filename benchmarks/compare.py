"""Comparisons with an earlier result: a line for each case that both results have."""

from collections.abc import Sequence
from typing import Any

Result = dict[str, Any]


def steps(now: Result, earlier: Result) -> list[str]:
    """Ratios of the median seconds a step."""
    return _ratios(*map(_step_seconds, (now, earlier)))


def images(now: Result, earlier: Result) -> list[str]:
    """Ratios of the median seconds an image."""
    return _ratios(*map(_image_seconds, (now, earlier)))


def points(now: Result, earlier: Result) -> list[str]:
    """Ratios of the median seconds of points of curves."""
    return _ratios(*map(_point_seconds, (now, earlier)))


def forms(now: Result, earlier: Result) -> list[str]:
    """Ratios of the median seconds of forms."""
    return _ratios(*map(_form_seconds, (now, earlier)))


def scaling(now: Result, earlier: Result) -> list[str]:
    """Ratios of the median seconds of steps, sums and meetings of each layout."""
    return _ratios(*map(_scaling_seconds, (now, earlier)))


def quality(now: Result, earlier: Result) -> list[str]:
    """Differences of PSNR and SSIM after each time, of each field."""
    return _differences(*map(_quality_points, (now, earlier)))


def datasets(now: Result, earlier: Result) -> list[str]:
    """Differences of PSNR and SSIM of each scene."""
    return _differences(*map(_dataset_means, (now, earlier)))


def collapse(now: Result, earlier: Result) -> list[str]:
    """Numbers of runs that collapsed."""
    rows, before = _collapse_rows(now), _collapse_rows(earlier)
    return [
        f"{name}: {rows[name]['num_collapsed']} of {rows[name]['num_runs']} collapsed, before "
        f"{before[name]['num_collapsed']} of {before[name]['num_runs']}"
        for name in rows
        if name in before
    ]


def against(earlier: Result, lines: Sequence[str]) -> str:
    """A comparison with an earlier result, and where that was measured."""
    title = f"against {earlier['device']}, {earlier['processor']}, {earlier['date']}:"
    return "\n  ".join([title, *(lines or ["the two results have no case in common"])])


def _ratios(now: dict[str, float], before: dict[str, float]) -> list[str]:
    return [
        f"{name}: {now[name] / before[name]:.3f} times the seconds"
        for name in now
        if name in before
    ]


def _differences(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {now[name]['psnr'] - before[name]['psnr']:+.2f} dB, "
        f"SSIM {now[name]['ssim'] - before[name]['ssim']:+.4f}"
        for name in now
        if name in before
    ]


def _step_seconds(result: Result) -> dict[str, float]:
    return {
        f"{case['preset']}, {case['num_rays']} rays, {case['precision']}, {name}": values[
            "step_seconds"
        ]["median"]
        for case in result["cases"]
        for name, values in case["backends"].items()
    }


def _image_seconds(result: Result) -> dict[str, float]:
    return {
        f"{case['scene']} ({case['source']}), {case['width']}x{case['height']}, "
        f"{case['precision']}, {case['backend']}, {name}": values["image_seconds"]["median"]
        for case in result["cases"]
        for name, values in case["methods"].items()
    }


def _point_seconds(result: Result) -> dict[str, float]:
    return {
        f"{curve['name']}, {point['value']} {curve['unit']}": point["seconds"]["median"]
        for curve in result["curves"]
        for point in curve["points"]
    }


def _form_seconds(result: Result) -> dict[str, float]:
    return {
        f"{case['num_points']} points, {case['num_features']} features, {name}, {what}": spread[
            "median"
        ]
        for case in result["cases"]
        for name, seconds in case["forms"].items()
        for what, spread in seconds.items()
    }


def _scaling_seconds(result: Result) -> dict[str, float]:
    return {
        f"{case['preset']}, {case['num_rays']} rays, {run['layout']}, {run['what']}": run[
            "seconds"
        ]["median"]
        for case in result["cases"]
        for run in case["runs"]
    }


def _quality_points(result: Result) -> dict[str, dict[str, Any]]:
    return {
        f"{scene['scene']} ({scene['source']}), {'x'.join(map(str, scene['resolution'][::-1]))}, "
        f"{curve['field']}, {point['limit']:g} s": point
        for scene in result["scenes"]
        for curve in scene["curves"]
        for point in curve["points"]
    }


def _dataset_means(result: Result) -> dict[str, dict[str, float]]:
    return {
        f"{scene['scene']}, {'x'.join(map(str, scene['resolution'][::-1]))}": {
            name: scene[name]["mean"] for name in ("psnr", "ssim")
        }
        for scene in result["scenes"]
        if None not in (scene["psnr"]["mean"], scene["ssim"]["mean"])
    }


def _collapse_rows(result: Result) -> dict[str, dict[str, Any]]:
    return {
        f"{row['preset']}, learning rate x {row['lr_factor']:g}, {row['variant']}": row
        for row in result["rows"]
    }
