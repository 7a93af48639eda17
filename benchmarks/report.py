"""Results as tables on the terminal; the figures are those of the JSON file."""

from typing import Any

_COLUMNS = (
    f"  {'':<10}{'trace':>7}{'lower':>7}{'compile':>8}  {'seconds a step (min - max)':<32}{'n':>5}"
    f"{'rays/s':>12}{'evaluations/s':>16}{'TFLOP/s':>10}{'ceiling':>9}{'first loss':>12}{'MiB':>8}"
)


def header(result: dict[str, Any]) -> str:
    """Which machine measured a result, with which versions, and when."""
    load = result["load_average"]
    busy = "" if load is None else f", load average {load} at the start"
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    flags = [f"XLA_FLAGS  {result['xla_flags']}"] if result["xla_flags"] else []
    return "\n".join(
        [
            f"device     {result['device']} ({result['platform']}), {result['num_devices']} in use",
            f"processor  {result['processor']}, {result['cores']} usable cores{busy}",
            f"versions   {versions}",
            *flags,
            f"date       {result['date']}",
        ]
    )


def step_case(figures: dict[str, Any]) -> str:
    """One case: a line for each backend, the ceiling, the ratios of backends."""
    ceiling = figures["ceiling"]
    size = ceiling["size"]
    lines = [
        f"{figures['preset']}, {figures['num_rays']} rays a step, {figures['precision']}: "
        f"{figures['evaluations_per_ray']} evaluations a ray, "
        f"{figures['flop_per_evaluation'] / 1e6:.3f} MFLOP each, forward and backward; "
        f"{figures['flop_per_step'] / 1e12:.4g} TFLOP a step, "
        f"{figures['rays_per_microbatch']} rays per microbatch",
        _COLUMNS,
        *(_backend(name, values) for name, values in figures["backends"].items()),
        f"  {'product':<10}{'':>22}  {_range(ceiling['seconds'])}{'':>28}"
        f"{ceiling['flop_per_second'] / 1e12:>10.3f}{1:>9.1%}"
        f"  {size} x {size}, relative error {ceiling['relative_error']:.0e}",
    ]
    if "floor" in figures:
        parts = figures["floor"]["parts"].items()
        each = " + ".join(f"{name} {1e3 * spread['median']:.1f}" for name, spread in parts)
        shares = ", ".join(
            f"{name} {values['step_to_floor']:.2f} x"
            for name, values in figures["backends"].items()
        )
        lines.append(
            f"  floor: {each} = {1e3 * figures['floor']['seconds']:.1f} ms; a step takes {shares}"
        )
    for ratio in figures["ratios"]:
        lines.append(
            f"  {ratio['of']} : {ratio['to']} = {ratio['median']:.3f} in seconds a step "
            f"({ratio['min']:.3f} - {ratio['max']:.3f} over {ratio['n']} rounds)"
        )
    return "\n".join(lines)


def _backend(name: str, values: dict[str, Any]) -> str:
    return (
        f"  {name:<10}{values['trace_seconds']:>7.2f}{values['lower_seconds']:>7.2f}"
        f"{values['compile_seconds']:>8.2f}  {_range(values['step_seconds'])}"
        f"{values['rays_per_second']:>12,.0f}{values['evaluations_per_second']:>16,.0f}"
        f"{values['flop_per_second'] / 1e12:>10.3f}{values['share_of_ceiling']:>9.1%}"
        f"{values['first_loss']:>12.6f}{_mebibytes(values['peak_bytes']):>8}"
    )


_RENDER_COLUMNS = (
    f"  {'':<10}{'trace':>7}{'lower':>7}{'compile':>8}  "
    f"{'seconds an image (min - max)':<32}{'n':>5}{'rays/s':>12}{'evaluations/s':>16}"
    f"{'a ray':>7}{'TFLOP/s':>10}{'ceiling':>9}{'MiB':>8}"
)


def render_case(figures: dict[str, Any]) -> str:
    """One case of the render benchmark: a line for each renderer, the ceiling, ratio, quality."""
    ceiling, ratio = figures["ceiling"], figures["exact_to_fast"]
    lines = [
        f"{figures['scene']} ({figures['source']}), {figures['backend']}, {figures['preset']}, "
        f"{figures['width']}x{figures['height']}, {figures['precision']}: "
        f"{figures['flop_per_evaluation'] / 1e6:.3f} MFLOP an evaluation",
        _RENDER_COLUMNS,
    ]
    for name, values in figures["methods"].items():
        lines.append(
            f"  {name:<10}{values['trace_seconds']:>7.2f}{values['lower_seconds']:>7.2f}"
            f"{values['compile_seconds']:>8.2f}  {_range(values['image_seconds'])}"
            f"{values['rays_per_second']:>12,.0f}{values['evaluations_per_second']:>16,.0f}"
            f"{values['evaluations_per_ray']:>7}{values['flop_per_second'] / 1e12:>10.3f}"
            f"{values['share_of_ceiling']:>9.1%}{_mebibytes(values['peak_bytes']):>8}"
        )
    lines.append(
        f"  {'product':<10}{'':>22}  {_range(ceiling['seconds'])}{'':>35}"
        f"{ceiling['flop_per_second'] / 1e12:>10.3f}{1:>9.1%}"
        f"  {ceiling['size']} x {ceiling['size']}, relative error {ceiling['relative_error']:.0e}"
    )
    quick = figures["methods"]["fast"]
    lines.append(
        f"  exact : fast = {ratio['median']:.2f} in seconds an image ({ratio['min']:.2f} - "
        f"{ratio['max']:.2f} over {ratio['n']} rounds); prepared once in "
        f"{quick['grid_seconds']:.1f} s (grid) and {quick['choice_seconds']:.1f} s (samples)"
    )
    if (quality := figures["quality"]) is not None:
        lines.append(
            f"  held-out views: fast to exact {quality['fast_to_exact_psnr']:.2f} dB; against the "
            f"photographs {quality['exact_psnr']:.3f} dB exact, {quality['fast_psnr']:.3f} dB "
            f"fast, {quality['lost']:.3f} dB lost"
        )
    if (peak := figures["process_peak_bytes"]) is not None:
        lines.append(f"  the process has used {_mebibytes(peak)} MiB at most so far")
    return "\n".join(lines)


def curve(figures: dict[str, Any]) -> str:
    """One curve of growth: seconds and work of each point, and their ratios to the point before."""
    lines = [
        f"{figures['name']}: {figures['what']}",
        f"  {figures['unit']:>18}  {'seconds (min - max)':<32}{'n':>5}{'TFLOP':>9}{'TFLOP/s':>9}"
        f"{'seconds x':>11}{'work x':>8}",
    ]
    before = None
    for point in figures["points"]:
        seconds, flop = point["seconds"], point["flop"]
        growth = ""
        if before is not None:
            times = seconds["median"] / before["seconds"]["median"]
            growth = f"{times:>11.2f}{flop / before['flop']:>8.2f}"
        lines.append(
            f"  {point['value']:>18}  {_range(seconds)}{flop / 1e12:>9.4f}"
            f"{flop / 1e12 / seconds['median']:>9.3f}{growth}"
        )
        before = point
    return "\n".join(lines)


def quality(figures: dict[str, Any]) -> str:
    """One scene: PSNR and SSIM of each field after each time limit."""
    height, width = figures["resolution"]
    lines = [
        f"{figures['scene']} ({figures['source']}), {width}x{height}, means of the held-out views",
        f"  {'field':<10}{'seconds':>8}{'steps':>9}{'PSNR':>10}{'SSIM':>8}{'depth error':>13}"
        f"{'parameters':>13}",
    ]
    for curve in figures["curves"]:
        for point in curve["points"]:
            error = point.get("depth_error")
            lines.append(
                f"  {curve['field']:<10}{point['limit']:>8g}{point['steps']:>9,}"
                f"{point['psnr']:>7.2f} dB{point['ssim']:>8.4f}"
                f"{'' if error is None else f'{error:.1%}':>13}{point['num_parameters']:>13,}"
            )
    return "\n".join(lines)


def gather_forms(figures: dict[str, Any]) -> str:
    """Milliseconds of each form, and the ratio to the first form."""
    first, *_ = figures["forms"].values()
    lines = [
        f"{figures['num_points']:,} points, {figures['num_planes']} planes of "
        f"{figures['num_features']} features; medians, and the ratio to the first form",
        f"  {'form':<20}" + "".join(f"{what:>22}" for what in first),
    ]
    for name, seconds in figures["forms"].items():
        cells = [
            f"{1e3 * seconds[what]['median']:9.2f} ms "
            f"({seconds[what]['median'] / first[what]['median']:5.1f} x)"
            for what in first
        ]
        lines.append(f"  {name:<20}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def scaling(figures: dict[str, Any]) -> str:
    """One preset: seconds, efficiency over processes, the parts of a step, and many GPUs."""
    load = figures["load_average"]
    lines = [
        f"{figures['preset']}, {figures['num_rays']} rays a step, {figures['backend']}, "
        f"{figures['cores']} cores, load average {load['before']} before and {load['after']} "
        f"after: {figures['buffer_bytes'] / 1e6:.2f} MB are added a step",
        f"  {'layout':<30}{'what':<24}{'seconds (min - max)':<32}{'n':>5}{'CPU seconds':>13}",
        *(
            f"  {run['layout']:<30}{run['what']:<24}{_range(run['seconds'])}"
            f"{run['cpu_seconds']['median']:>13.4g}"
            for run in figures["runs"]
        ),
        f"  {'scaling':<10}{'processes':>10}{'rays':>8}{'efficiency (min - max)':>28}"
        f"{'predicted':>11}{'MB sent':>9}{'in a ring':>11}",
    ]
    for row in figures["scaling"]:
        found, predicted = row["efficiency"], row["predicted"]
        spread = f"{found['median']:.1%} ({found['min']:.1%} - {found['max']:.1%})"
        lines.append(
            f"  {row['kind']:<10}{row['processes']:>10}{row['num_rays']:>8}{spread:>28}"
            f"{'' if predicted is None else f'{predicted:.1%}':>11}{row['bytes_sent'] / 1e6:>9.2f}"
            f"{row['bytes_of_a_ring'] / 1e6:>11.2f}"
        )
    pairs = zip(figures["devices_to_processes"], figures["parts"], strict=True)
    for row, parts in pairs:
        step, total, meeting = (1e3 * parts[name] for name in ("step", "sum", "meeting"))
        lines += [
            f"  {row['processes']} processes reach {row['median']:.1%} ({row['min']:.1%} - "
            f"{row['max']:.1%}) of one process with as many devices, by CPU time "
            f"{row['cpu']['median']:.1%}",
            f"    of a step of {step:.1f} ms, the sum alone takes {total:.2f} ms and the meeting "
            f"{meeting:.2f} ms",
        ]
    return "\n".join([*lines, *_gpus(figures["gpus"])])


def _gpus(figures: dict[str, Any] | None) -> list[str]:
    """Predicted efficiency of many GPUs."""
    if figures is None:
        return []
    lines = [
        f"  predicted for GPUs of {figures['assumed_rays_per_second']:,.0f} rays/s (assumed); sum "
        "by a ring / in pairs:",
        f"  {'link':<12}{'GPUs':>6}{'sum':>22}{'strong':>18}{'weak':>18}{'rays for 90 %':>15}",
    ]
    for row in figures["predictions"]:
        sums = f"{1e3 * row['ring_seconds']:.3f} / {1e3 * row['doubling_seconds']:.3f} ms"
        strong, weak = (
            f"{row[kind]:.1%} / {row[f'{kind}_in_pairs']:.1%}" for kind in ("strong", "weak")
        )
        lines.append(
            f"  {row['link']:<12}{row['num_gpus']:>6}{sums:>22}{strong:>18}{weak:>18}"
            f"{row['rays_for_90_percent']:>15,.0f}"
        )
    return lines


COLLAPSE_HEADING = (
    "| preset | learning rate x | prevention | collapsed | unnoticed | false alarms | "
    "last noticed at step | median PSNR |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def collapse_row(row: dict[str, Any]) -> str:
    """One row of a Markdown table whose head is COLLAPSE_HEADING."""
    return (
        f"| {row['preset']} | {row['lr_factor']:g} | {row['variant']} | {row['num_collapsed']} of "
        f"{row['num_runs']} | {row['num_unnoticed']} | {row['num_false_alarms']} | "
        f"{row['last_noticed_at'] or ''} | {row['median_psnr']:.1f} |"
    )


def _mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:.0f}"


def _range(seconds: dict[str, Any]) -> str:
    ends = f"({seconds['min']:.4g} - {seconds['max']:.4g})"
    return f"{seconds['median']:<10.4g}{ends:<22}{seconds['n']:>5}"
