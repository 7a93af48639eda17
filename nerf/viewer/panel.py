"""The controls of a window: what it shows, how deep, which part, and the cameras."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import viser

from nerf.scenes.record import SceneRecord
from nerf.viewer.crop import Box
from nerf.viewer.display import OUTPUTS, legend

HELP = """
drag: turn · right drag: move · wheel: nearer, farther \\
**W A S D**: move · **Q E**: down, up · arrows: turn
"""
_FOV = (5.0, 120.0)  # degrees
_STEPS = 200  # of a slider


def set_value(handle: Any, value: Any) -> None:
    """Sets the value of a control, for the user to see; viser's types call it read-only."""
    handle.value = value


def on_user_change(handle: viser.GuiInputHandle[Any], function: Callable[[], None]) -> None:
    """Calls a function when the user, and not the program, changes a control."""

    def changed(event: viser.GuiEvent[Any]) -> None:
        if event.client is not None:
            function()

    handle.on_update(changed)


@dataclasses.dataclass(frozen=True)
class ViewControls:
    """The controls of the image.

    Attributes:
      output: colour, depth or opacity.
      depth: holds the controls of the depth, which are visible with it.
      near, far: of the colours of the depth, scene units.
      fit_depth: takes them from what is in view.
      legend: shows the colours of the depth.
      fov: vertical field of view in degrees.
      level, home: turn the camera upright; go back to the start.
      crop: whether only what lies in the box is drawn.
      axes: the lowest and the highest x, y and z of the box, scene units.
    """

    output: viser.GuiDropdownHandle[str]
    depth: viser.GuiFolderHandle
    near: viser.GuiNumberHandle[float]
    far: viser.GuiNumberHandle[float]
    fit_depth: viser.GuiButtonHandle
    legend: viser.GuiImageHandle
    fov: viser.GuiSliderHandle[float]
    level: viser.GuiButtonHandle
    home: viser.GuiButtonHandle
    crop: viser.GuiCheckboxHandle
    axes: tuple[viser.GuiMultiSliderHandle[float], ...]

    @property
    def limits(self) -> tuple[float, float]:
        """The limits of the colours of the depth, near before far."""
        near = max(float(self.near.value), 1e-6)
        return near, max(float(self.far.value), 1.001 * near)

    @property
    def box(self) -> Box | None:
        """The box outside which nothing is drawn; None for none."""
        if not self.crop.value:
            return None
        return np.array([slider.value for slider in self.axes], np.float32).T


def add_view_controls(
    gui: viser.GuiApi, extent: npt.NDArray[np.float64], fov: float
) -> ViewControls:
    """Adds the controls of the image.

    Args:
      gui: of one window.
      extent: `[2, 3]`, corners of the largest box, scene units.
      fov: vertical field of view in degrees.
    """
    output = gui.add_dropdown("Show", OUTPUTS, initial_value=OUTPUTS[0])
    with gui.add_folder("Depth", visible=False) as depth:
        near = gui.add_number("Nearest", 1.0, min=0.0, step=0.01, hint="scene units: brightest")
        far = gui.add_number("Farthest", 2.0, min=0.0, step=0.01, hint="scene units: darkest")
        bar = gui.add_image(legend((1.0, 2.0)), label="near to far, even in 1/depth")
        fit = gui.add_button("Fit to this view")
    angle = gui.add_slider(
        "Field of view", *_FOV, step=0.5, initial_value=float(np.clip(fov, *_FOV)),
        hint="vertical, in degrees",
    )  # fmt: skip
    level = gui.add_button("Level the camera")
    home = gui.add_button("Back to the start")
    with gui.add_folder("Crop box", expand_by_default=False):
        crop = gui.add_checkbox("Draw only the box", False)
        axes = tuple(
            gui.add_multi_slider(
                name, round(low, 3), round(high, 3), (high - low) / _STEPS,
                (round(low, 3), round(high, 3)), hint="scene units",
            )
            for name, low, high in zip("xyz", *extent.tolist(), strict=True)
        )  # fmt: skip
    return ViewControls(output, depth, near, far, fit, bar, angle, level, home, crop, axes)


@dataclasses.dataclass(frozen=True)
class CameraControls:
    """The controls of the scene's cameras.

    Attributes:
      visible, size: of the frusta.
      view: the view that is chosen.
      fly: flies there.
      before, after: choose the neighbour and fly there.
      compare: shows its rendering beside its photograph.
      photograph: shows it small.
    """

    visible: viser.GuiCheckboxHandle
    size: viser.GuiSliderHandle[float]
    view: viser.GuiDropdownHandle[str]
    fly: viser.GuiButtonHandle
    before_after: viser.GuiButtonGroupHandle
    compare: viser.GuiCheckboxHandle
    photograph: viser.GuiImageHandle


BEFORE, AFTER = "Previous", "Next"


def add_camera_controls(gui: viser.GuiApi, labels: Sequence[str], home: int) -> CameraControls:
    """Adds the controls of the scene's cameras.

    Args:
      gui: of one window.
      labels: one a view.
      home: the view that is chosen at the beginning.
    """
    visible = gui.add_checkbox("Show cameras", True)
    size = gui.add_slider("Size", 0.2, 5.0, step=0.1, initial_value=1.0)
    view = gui.add_dropdown("View", tuple(labels), initial_value=labels[home])
    neighbours = gui.add_button_group("", (BEFORE, AFTER))
    fly = gui.add_button("Fly to this view")
    compare = gui.add_checkbox(
        "Beside its photograph", False, disabled=True, hint="rendering left, photograph right"
    )
    blank = np.full((4, 256, 3), 255, np.uint8)
    photograph = gui.add_image(blank, label="photograph", visible=False)
    return CameraControls(visible, size, view, fly, neighbours, compare, photograph)


def view_labels(record: SceneRecord) -> list[str]:
    """One for each view, all different."""
    held_out = set(record.split.test)
    return [
        f"{index}: {name}{' (held out)' if index in held_out else ''}"
        for index, name in enumerate(record.view_names)
    ]
