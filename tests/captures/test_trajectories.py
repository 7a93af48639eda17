"""Laws of matching the timestamps of images and poses."""

import numpy as np

from nerf.captures.formats import read_capture
from tests.support.captures import write_nerfstudio
from tools.other_formats import write_tum


def test_a_pose_belongs_to_the_nearest_image_alone(tmp_path):
    """Two images are within 0.02 s of one pose: it is that of the nearer, the other has none."""
    source = read_capture(write_nerfstudio(tmp_path / "ns"))
    folder = write_tum(source, tmp_path / "out")
    path = folder / "groundtruth.txt"
    first, *lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    images = sorted((folder / "rgb").iterdir())
    time = float(first.split()[0])
    for image, away in zip(images[:2], (0.012, 0.004), strict=True):
        image.rename(image.with_name(f"{time + away:.6f}.png"))
    path.write_text("\n".join([first, *lines[1:]]) + "\n")  # without the pose of the second

    found = read_capture(folder)
    assert found.num_views == source.num_views - 1
    assert f"{time + 0.004:.6f}.png" in [file.name for file in found.files]
    np.testing.assert_allclose(found.camtoworlds[0], source.camtoworlds[0], atol=1e-9)
    without = [note for note in found.notes if "has no pose" in note]
    assert len(without) == 1
    assert f"{time + 0.012:.6f}.png" in without[0]
    assert len(np.unique(found.camtoworlds.round(6), axis=0)) == found.num_views
