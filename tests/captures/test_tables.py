"""Laws of files that describe captures: capitals in their names, encodings, and tables of poses."""

import numpy as np
import pytest

from nerf.captures.export import EXPORT_FORMATS
from nerf.captures.formats import formats_in
from nerf.captures.reading import read_capture
from tests.support.captures import convert, refusal, write_nerfstudio
from tools.other_formats import (
    WRITERS,
    write_csv,
    write_kitti,
    write_realitycapture_csv,
    write_tum,
)

FORMATS = (*WRITERS, *EXPORT_FORMATS)
TEXT = (".json", ".txt", ".csv", ".xml", ".xmp", ".out")


def with_bounds(content):
    for frame in content["frames"]:
        frame |= {"near": 1.0, "far": 5.0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    home = tmp_path_factory.mktemp("tables")
    return write_nerfstudio(home / "ns", change=with_bounds, cx=6.0, cy=4.0)


def write(source, name, out):
    """The capture in any format, and its poses before anything is changed."""
    if name in WRITERS:
        WRITERS[name][0](read_capture(source), out)
    else:
        convert(source, name, out)
    return out, read_capture(out).camtoworlds


@pytest.mark.parametrize("name", FORMATS)
def test_names_in_capitals_are_those_in_small_letters(tmp_path, source, name):
    folder, expected = write(source, name, tmp_path / "out")
    for path in [p for p in folder.rglob("*") if p.suffix in (*TEXT, ".bin", ".npy")]:
        path.rename(path.with_name(path.name.upper()))
    assert formats_in(folder) == [name.split(" ")[0]]
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("llff", "colmap")])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_text_may_be_in_other_encodings(tmp_path, source, name, encoding):
    folder, expected = write(source, name, tmp_path / "out")
    for path in [p for p in folder.rglob("*") if p.suffix in TEXT]:
        text = path.read_text().replace('encoding="UTF-8"', f'encoding="{encoding}"')
        path.write_text(text, encoding=encoding)
    assert formats_in(folder) == [name.split(" ")[0]]
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)


def test_what_a_mac_writes_beside_a_file_is_none(tmp_path, source):
    for name in FORMATS:
        folder, expected = write(source, name, tmp_path / name)
        for path in [p for p in folder.rglob("*") if p.suffix in TEXT]:
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
        np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)


@pytest.mark.parametrize("write_table", [write_csv, write_realitycapture_csv])
@pytest.mark.parametrize(("delimiter", "point"), [("\t", "."), (";", "."), (";", ","), ("\t", ",")])
def test_tables_may_have_tabs_or_semicolons_and_then_decimal_commas(
    tmp_path, source, write_table, delimiter, point
):
    folder = write_table(read_capture(source), tmp_path / "out")
    expected = read_capture(folder)
    (path,) = folder.glob("*.csv")
    text = path.read_text().replace(",", delimiter)
    path.write_text(text.replace(".", point).replace(f"{point}png", ".png"))
    found = read_capture(folder)
    assert found.names == expected.names
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)
    np.testing.assert_array_equal(found.lens.focal, expected.lens.focal)


@pytest.mark.parametrize(
    "write_poses", [write_csv, write_realitycapture_csv, write_tum, write_kitti]
)
def test_decimal_commas_among_commas_or_spaces_are_refused_by_name(tmp_path, source, write_poses):
    folder = write_poses(read_capture(source), tmp_path / "out")
    (path,) = [
        p
        for p in folder.iterdir()
        if p.suffix == ".csv" or p.name in ("poses.txt", "groundtruth.txt")
    ]
    path.write_text(path.read_text().replace(".", ",").replace(",png", ".png"))
    assert "decimal commas" in refusal(folder)


# Columns.


def with_column(path, name, value):
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},{name}", *(f"{row},{value}" for row in rows)]))


@pytest.mark.parametrize("write_table", [write_csv, write_realitycapture_csv])
@pytest.mark.parametrize("name", ["k5", "omega", "fov", "skew", "distortion_model", "fisheye"])
def test_a_column_that_changes_rays_is_not_passed_over(tmp_path, source, write_table, name):
    folder = write_table(read_capture(source), tmp_path / "out")
    (path,) = folder.glob("*.csv")
    with_column(path, name, "0.1")
    assert f"the column {name} is not read, and changes the rays" in refusal(folder)


@pytest.mark.parametrize("write_table", [write_csv, write_realitycapture_csv])
def test_other_columns_are_noted_unless_they_say_nothing(tmp_path, source, write_table):
    folder = write_table(read_capture(source), tmp_path / "out")
    (path,) = folder.glob("*.csv")
    with_column(path, "k6", "0")
    with_column(path, "note", "")
    assert not any("column" in note for note in read_capture(folder).notes)
    with_column(path, "accuracy", "0.02")
    expected_note = f"columns of {path.name} that are not known, and are ignored: accuracy"
    assert any(expected_note in note for note in read_capture(folder).notes)


def test_yaw_is_heading_but_not_beside_it(tmp_path, source):
    folder = write_realitycapture_csv(read_capture(source), tmp_path / "out")
    path, expected = folder / "cameras.csv", read_capture(folder).camtoworlds
    path.write_text(path.read_text().replace("heading", "Yaw"))
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)
    with_column(path, "heading", "20")
    assert "the column yaw is not read, and changes the rays" in refusal(folder)
    path.write_text(path.read_text().replace("Yaw", "heading"))
    assert "has several columns heading: remove all but one" in refusal(folder)


def test_of_several_columns_that_may_be_names_that_of_images_counts(tmp_path, source):
    folder = write_csv(read_capture(source), tmp_path / "out")
    path, expected = folder / "poses.csv", read_capture(folder)
    header, *rows = path.read_text().splitlines()
    rows = [f"{number},{row},camera" for number, row in enumerate(rows)]
    path.write_text("\n".join([f"frame,{header},label", *rows]))
    found = read_capture(folder)
    assert found.names == expected.names
    np.testing.assert_array_equal(found.camtoworlds, expected.camtoworlds)


def test_a_table_without_the_lens_is_told_what_to_export(tmp_path, source):
    folder = write_realitycapture_csv(read_capture(source), tmp_path / "out")
    path = folder / "cameras.csv"
    rows = [row.split(",")[:7] for row in path.read_text().splitlines()]
    path.write_text("\n".join(map(",".join, rows)))
    assert 'has no column f: export the registration as "Internal/External' in refusal(folder)


GPS = {
    "name,latitude,longitude,alt,heading,pitch,roll": "48.1,11.5,520,10,0,0",
    "name,x,y,alt,yaw,pitch,roll": "4e5,5e6,520,10,0,0",
}


@pytest.mark.parametrize("columns", GPS)
@pytest.mark.parametrize("name", ["trajectory tum", "realitycapture xmp", "bundler"])
def test_positions_of_a_gps_do_not_hide_poses(tmp_path, source, name, columns):
    folder, expected = write(source, name, tmp_path / "out")
    (folder / "gps.csv").write_text(f"{columns}\nview_0.png,{GPS[columns]}\n")
    assert formats_in(folder) == [name.split(" ")[0]]
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)


def test_positions_of_a_gps_alone_are_said_to_be_no_poses(tmp_path):
    columns = next(iter(GPS))
    (tmp_path / "gps.csv").write_text(f"{columns}\nview_0.png,{GPS[columns]}\n")
    message = refusal(tmp_path)
    assert "gps.csv is a table of positions by GPS" in message
    assert "python -m nerf.pose" in message


# Folders, and several files.

FOLDERS = [
    ("record3d", "rgb"),
    ("polycam", "keyframes"),
    ("polycam", "keyframes/corrected_cameras"),
    ("trajectory tum", "rgb"),
    ("colmap", "sparse"),
]


@pytest.mark.parametrize(("name", "inner"), FOLDERS)
def test_folders_in_capitals_are_those_in_small_letters(tmp_path, source, name, inner):
    folder, expected = write(source, name, tmp_path / "out")
    path = folder / inner
    path.rename(path.with_name(path.name.title()))
    assert formats_in(folder) == [name.split(" ")[0]]
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)


def test_a_model_in_sparse_may_have_any_name(tmp_path, source):
    folder, expected = write(source, "colmap", tmp_path / "out")
    (folder / "sparse" / "0").rename(folder / "sparse" / "final")
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)


@pytest.mark.parametrize(
    ("name", "file", "other"),
    [
        ("trajectory csv", "poses.csv", "poses_old.csv"),
        ("trajectory tum", "groundtruth.txt", "trajectory.txt"),
        ("metashape", "cameras.xml", "cameras_old.xml"),
        ("realitycapture csv", "cameras.csv", "cameras_old.csv"),
    ],
)
def test_of_several_files_of_poses_a_note_says_which_is_read(tmp_path, source, name, file, other):
    folder, _ = write(source, name, tmp_path / "out")
    (folder / other).write_bytes((folder / file).read_bytes())
    assert f"{file} is read, and not {other}" in read_capture(folder).notes


@pytest.mark.parametrize("start", ["", "# ", "#"])
@pytest.mark.parametrize(
    ("names", "places"),
    [
        ("timestamp tx ty tz qx qy qz qw", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("timestamp x y z qw qx qy qz", [0, 1, 2, 3, 7, 4, 5, 6]),
    ],
)
def test_a_line_that_names_the_values_of_tum_says_their_order(
    tmp_path, source, start, names, places
):
    folder, expected = write(source, "trajectory tum", tmp_path / "out")
    path = folder / "groundtruth.txt"
    rows = [line.split() for line in path.read_text().splitlines()[1:]]
    lines = [" ".join(row[at] for at in places) for row in rows]
    path.write_text("\n".join([start + names, *lines]))
    np.testing.assert_array_equal(read_capture(folder).camtoworlds, expected)
