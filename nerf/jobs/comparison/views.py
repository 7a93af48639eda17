"""Which views of several runs can be shown side by side."""

from collections.abc import Sequence

from nerf.errors import listed
from nerf.jobs.reports.run_summary import RunSummary, mapping
from nerf.jobs.scoring.view_images import view_contents
from nerf.output.report.compare_page import ViewGroup
from nerf.output.report.content import ViewContent
from nerf.scenes.scene import truth_name

_Scene = tuple[str, str, tuple[str, ...]]


def view_groups(
    runs: Sequence[RunSummary], labels: Sequence[str]
) -> tuple[list[ViewGroup], list[str]]:
    """The views that several runs of one scene have scored, scene by scene.

    Args:
      runs: of any scenes.
      labels: of the runs.

    Returns:
      One group for each scene with at least two scored runs, and what is not shown and why.
    """
    by_scene: dict[_Scene, list[int]] = {}
    for number, run in enumerate(runs):
        if run.views:
            by_scene.setdefault(_scene(run), []).append(number)
    groups, alone = [], []
    remarks = []
    for (scene, source, _), members in by_scene.items():
        if len(members) < 2:
            alone += [labels[number] for number in members]
            continue
        names = [labels[number] for number in members]
        group = _group(f"{scene} ({source})", [runs[n] for n in members], names)
        if group.views:
            groups.append(group)
        else:
            remarks.append(
                f"these runs of {scene} have no held-out view in common: {listed(names)}"
            )
    if alone:
        remarks.append(
            f"without views side by side, since no other run is of the same scene: {listed(alone)}"
        )
    return groups, remarks


def _scene(run: RunSummary) -> _Scene:
    """What two runs must share to show the same views: name, source, names of views."""
    split = mapping(mapping(run.scores).get("split_names"))
    lists = [names for names in split.values() if isinstance(names, list)]
    return run.scene, run.source, tuple(sorted(str(name) for names in lists for name in names))


def _group(title: str, runs: Sequence[RunSummary], labels: Sequence[str]) -> ViewGroup:
    contents = [{view.index: view for view in view_contents(run)} for run in runs]
    common = set.intersection(*(set(views) for views in contents))
    ordered = sorted(common)
    views: list[list[ViewContent]] = [[each[index] for each in contents] for index in ordered]
    num_others = len(set().union(*contents)) - len(common)
    return ViewGroup(title, labels, views, num_others, truth_name(runs[0].source))
