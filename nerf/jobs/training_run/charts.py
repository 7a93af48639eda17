"""The charts and the contact sheet that a training run leaves in its folder."""

from pathlib import Path

from nerf.captures.images.files import read_images, shrink
from nerf.jobs.trained_field import TrainedField
from nerf.jobs.training_run.preview import preview_index
from nerf.output import charts, images
from nerf.runs import metrics, run_folder
from nerf.runtime.events import Callback, say
from nerf.scenes.scene import Scene
from nerf.training.loop import TEST_PSNR


def write_training_charts(
    folder: Path, trained: TrainedField, scene: Scene, callback: Callback
) -> None:
    """Writes the loss curve, and the previews in their order, followed by the true image.

    Args:
      folder: the run folder, with its metrics and previews.
      trained: what was trained.
      scene: with the images.
      callback: receives where the files are.
    """
    lines = metrics.read(folder)
    if not lines:
        return
    title = f"{scene.name} ({scene.source}), {trained.backend} {trained.field_name}"
    chart = folder / run_folder.CHART_FILE
    charts.write_training_chart(chart, lines, title)
    say(callback, f"loss curve: {chart}")
    scores = {line["step"]: line[TEST_PSNR] for line in lines if TEST_PSNR in line}
    files = {step: run_folder.preview_file(folder, step) for step in scores}
    panels = [
        (f"step {step}: {scores[step]:.2f} dB", read_images([file])[0])
        for step, file in files.items()
        if file.is_file()
    ]
    if panels:
        view = scene.view(preview_index(trained.needed_scene()))
        assert view.image is not None
        height, width = panels[-1][1].shape[:2]
        image = images.turned(images.hatch_masked(view.image, view.mask), view.turns)
        if (height, width) != image.shape[:2]:  # previews of a large view are smaller
            image = shrink(image, height, width)
        truth = (f"{scene.truth_name}, {view.label}", image)
        sheet = folder / run_folder.CONTACT_SHEET_FILE
        images.write_sheet(sheet, images.contact_sheet([*panels, truth]))
        say(callback, f"previews over time: {sheet}")
