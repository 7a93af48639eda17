"""A field with its parameters: what `nerf.train`, `nerf.load_run` and `nerf.load_params` return."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from nerf import field as field_lib
from nerf.captures.capture import named_views
from nerf.config.settings import PRECISIONS, Config
from nerf.corrections.record import CorrectionRecord
from nerf.errors import UserError
from nerf.field import Params, RadianceField
from nerf.geometry.spaces import Space
from nerf.render.image_renderer import ImageRenderer, TileProgram
from nerf.render.images import make_exact_program
from nerf.runs import parameters
from nerf.runs.parameters import Header
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene, Split, View
from nerf.scenes.splits import Holdout


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedField:
    """A field, its parameters, and what is needed to draw it.

    Attributes:
      backend: who implements the field, e.g. `flax`.
      field_name: e.g. `mlp`.
      field: pure functions, see `nerf.field.RadianceField`.
      params: one tree for each network, e.g. `{"shared": tree}`, in the backend's layout.
      config: the settings that it was trained with.
      step: training steps behind the parameters; None where it is not known.
      space: that the field lives in; None for parameters of a file that does not say it.
      scene: cameras, names and transform of the scene it was trained on; None where only
        parameters were loaded.
      scene_name, source: of that scene.
      provenance: where the parameters come from, without a path, for the record.
      origin: where they were found, for people.
      precision: of matrix products, see `nerf.config.settings.PRECISIONS`.
      run_dir: the run folder that it was loaded from or trained in, if any.
      is_pretrained: whether the parameters are those that come with the scene.
      corrections: what was learnt of the training views besides the field; None without
        corrections.
    """

    backend: str
    field_name: str
    field: RadianceField
    params: Params
    config: Config
    step: int | None
    space: Space | None
    scene: SceneRecord | None
    scene_name: str
    source: str
    provenance: str
    origin: str
    precision: str = "float32"
    run_dir: Path | None = None
    is_pretrained: bool = False
    corrections: CorrectionRecord | None = None

    def view(self, index_or_name: int | str) -> View:
        """The camera of a view of the scene it was trained on.

        Args:
          index_or_name: index or name of the view.

        Raises:
          UserError: if there is no such view, or only parameters were loaded.
        """
        return self.needed_scene().view(index_or_name)

    def needed_scene(self) -> SceneRecord:
        """The record of the scene; raises a UserError where only parameters were loaded."""
        if self.scene is None:
            raise UserError(
                "these parameters come without the cameras of their scene: give `scene` to "
                "nerf.load_params or nerf.load_run"
            )
        return self.scene

    def needed_space(self) -> Space:
        """The space; raises a UserError where the parameters do not say it."""
        if self.space is None:
            raise UserError(
                "the parameters do not say which space they live in: give `scene` to load_params"
            )
        return self.space

    @functools.cached_property
    def exact_program(self) -> TileProgram:
        """The compiled exact renderer of any parameters, made once."""
        return make_exact_program(self.field, self.config.render, self.needed_space())

    @functools.cached_property
    def exact_renderer(self) -> ImageRenderer:
        """The exact renderer of these parameters, which go to the devices once."""
        return self.exact_program.with_params(self.params)

    def matmul_precision(self) -> contextlib.AbstractContextManager[Any]:
        """The block in which matrix products have the field's precision."""
        block: contextlib.AbstractContextManager[Any] = jax.default_matmul_precision(
            PRECISIONS[self.precision]
        )
        return block

    def header(self) -> Header:
        """What a parameter file says about itself."""
        return Header(
            field=self.field_name,
            layout=self.backend,
            config=self.config,
            scene=self.scene_name,
            source=self.source,
            step=self.step,
            provenance=self.provenance,
            space=self.space,
        )

    def with_settings(
        self, config: Config, precision: str, scene: Scene | None = None
    ) -> "TrainedField":
        """The same parameters under other settings, and on a scene where one is given.

        Raises:
          UserError: if the parameters are not what these settings need.
        """
        field = field_lib.make_field(self.backend, self.field_name, config.field)
        parameters.check(self.params, field, config, self.origin)
        other = dataclasses.replace(self, field=field, config=config, precision=precision)
        if scene is None:
            return other
        record = SceneRecord.of(scene, Holdout.of(config.train))
        return dataclasses.replace(other, scene=record, space=scene.space)

    def with_params(self, params: Params, step: int | None) -> "TrainedField":
        """The same with other parameters of the same shapes."""
        return dataclasses.replace(self, params=params, step=step)


def check_not_trained_on(before: SceneRecord, names: Sequence[str], split: Split) -> None:
    """Refuses to score views as held out that the field was trained on.

    Args:
      before: the scene that it was trained on.
      names: of the views of the scene that is scored.
      split: of that scene.

    Raises:
      UserError: with the views.
    """
    trained_on = {before.view_names[index] for index in before.split.train}
    both = [index for index in split.test if names[index] in trained_on]
    if both:
        raise UserError(
            f"the training had {named_views(both, names)} among its views, so a score would not be "
            "one of held-out views: leave out `holdout` and `holdout_views`, or train anew with "
            "this split"
        )
