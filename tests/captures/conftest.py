"""The scene that tests of other programs' formats share."""

import numpy as np
import pytest

from nerf.captures.export import ExportImages, export
from nerf.captures.images.files import read_image
from nerf.captures.lenses.scaled import scaled_lens
from nerf.captures.reading import read_capture
from tests.support.captures import write_procedural


@pytest.fixture(scope="session")
def bundled(tmp_path_factory):
    """A bundled scene without bounds, which most of these formats cannot express."""
    home = tmp_path_factory.mktemp("bundled")
    capture = read_capture(write_procedural(home / "llff", "table"))
    sizes = np.tile([[16, 12]], (capture.num_views, 1))
    pixels = ExportImages(sizes, capture.files, lambda i: read_image(capture.files[i]))
    export(capture, scaled_lens(capture, 12, 16), None, pixels, "nerfstudio", home / "ns")
    return home / "ns"
