"""The table on the terminal; its figures are those of the JSON file."""

from typing import Any

_COLUMNS = (
    f"  {'':<10}{'trace':>7}{'lower':>7}{'compile':>8}  {'seconds a step (min - max)':<32}{'n':>5}"
    f"{'rays/s':>12}{'evaluations/s':>16}{'TFLOP/s':>10}{'ceiling':>9}{'first loss':>12}"
)


def header(result: dict[str, Any]) -> str:
    """Where and when a result was measured."""
    load = result["load_average"]
    busy = "" if load is None else f", load average {load} before the first reading"
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    flags = [f"XLA_FLAGS  {result['xla_flags']}"] if result["xla_flags"] else []
    return "\n".join(
        [
            f"device     {result['device']} ({result['platform']}), {result['num_devices']} in all",
            f"processor  {result['processor']}, {result['cores']} usable cores{busy}",
            f"versions   {versions}",
            *flags,
            f"date       {result['date']}",
        ]
    )


def case(figures: dict[str, Any]) -> str:
    """One case: a line a backend, the ceiling, the ratios."""
    ceiling = figures["ceiling"]
    size = ceiling["size"]
    lines = [
        f"{figures['preset']}, {figures['num_rays']} rays a step, {figures['precision']}: "
        f"{figures['evaluations_per_ray']} evaluations a ray, "
        f"{figures['flop_per_evaluation'] / 1e6:.3f} MFLOP each, forward and backward; "
        f"{figures['flop_per_step'] / 1e12:.4g} TFLOP a step, "
        f"{figures['rays_per_piece']} rays a piece",
        _COLUMNS,
        *(_backend(name, values) for name, values in figures["backends"].items()),
        f"  {'product':<10}{'':>22}  {_range(ceiling['seconds'])}{'':>28}"
        f"{ceiling['flop_per_second'] / 1e12:>10.3f}{1:>9.1%}"
        f"  {size} x {size}, relative error {ceiling['relative_error']:.0e}",
    ]
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
        f"{values['first_loss']:>12.6f}"
    )


def _range(seconds: dict[str, Any]) -> str:
    ends = f"({seconds['min']:.4g} - {seconds['max']:.4g})"
    return f"{seconds['median']:<10.4g}{ends:<22}{seconds['n']:>5}"
