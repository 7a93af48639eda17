"""Laws of the kinds of images: told by content, read alike, and refused once for all files."""

import struct
import subprocess

import numpy as np
import pytest
from PIL import Image, features

from nerf.captures.capture import InvalidCapture
from nerf.captures.images.files import read_header, read_image, read_pixels, read_scaled
from nerf.captures.images.kinds import UnreadableImage, decoders_of, kind_of
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import HEIGHT, WIDTH, refusal, write_nerfstudio, write_procedural

LOSSLESS = {
    "webp": {"format": "WEBP", "lossless": True},
    "tif": {"format": "TIFF"},
    "lzw.tif": {"format": "TIFF", "compression": "tiff_lzw"},
    "deflate.tiff": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    "bmp": {"format": "BMP"},
    "png": {"format": "PNG"},
}
FTYP = b"\0\0\0\x18ftyp"
UNREAD = {
    "HEIC": FTYP + b"heic\0\0\0\0mif1heic",
    "OpenEXR": b"\x76\x2f\x31\x01" + bytes(300),
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
    "JPEG XL": b"\xff\x0a" + bytes(20),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "camera raw": FTYP + b"crx \0\0\0\1crx isom",
    "video": FTYP + b"qt  \0\0\0\0qt  \0\0\0\0",
    "text, not an image": b"404: not found\n",
    "what Git LFS has": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
    "full of zeros": bytes(1000),
    "empty": b"",
    "of no known kind": bytes(range(128, 256)),
}


def pixels_of(channels=3):
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)


@pytest.mark.parametrize("ending", LOSSLESS)
@pytest.mark.parametrize("channels", [3, 4])
def test_every_lossless_kind_gives_the_same_pixels(tmp_path, ending, channels):
    if ending == "bmp" and channels == 4:
        pytest.skip("Pillow writes no BMP with alpha")
    pixels = pixels_of(channels)
    pixels[..., 3:] |= 1  # WebP may drop the colours of what is quite transparent
    file = tmp_path / f"a.{ending}"
    Image.fromarray(pixels).save(file, **LOSSLESS[ending])
    assert read_header(file).size == (WIDTH, HEIGHT)
    assert read_header(file).is_transparent == (channels == 4)
    np.testing.assert_array_equal(read_pixels(file), pixels)


@pytest.mark.skipif("avif" not in features.get_supported(), reason="Pillow without AVIF")
def test_avif_is_read(tmp_path):
    smooth = Image.fromarray(pixels_of()).resize((64, 48), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.avif", quality=95)
    assert np.abs(read_image(tmp_path / "a.avif") - np.asarray(smooth) / 255).mean() < 0.06


def test_avif_without_a_decoder_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("nerf.captures.images.kinds._optional_decoders", lambda: ())
    file = tmp_path / "a.jpg"
    file.write_bytes(FTYP + b"avif\0\0\0\0mif1avif")
    with pytest.raises(UnreadableImage, match=r"AVIF: install its decoder.*pillow>=11\.3"):
        read_header(file)


def test_heic_is_read_with_its_extra(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    smooth = Image.fromarray(pixels_of()).resize((64, 48), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.heic", quality=95)
    (tmp_path / "a.heic").rename(tmp_path / "a.jpg")  # as some programs name it
    assert np.abs(read_image(tmp_path / "a.jpg") - np.asarray(smooth) / 255).mean() < 0.06


def write_tiff(path, pixels, order):
    """A plain TIFF of 16 bits, by hand: Pillow writes none in colour."""
    height, width, channels = pixels.shape
    content = pixels.astype(f"{order}u2").tobytes()
    entries = [
        *((256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 1)),
        *((262, 3, 2 if channels == 3 else 1), (273, 4, 8), (277, 3, channels)),
        *((278, 4, height), (279, 4, len(content))),
    ]
    table = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in entries:
        count, form = (1, "I") if kind == 4 else (1, "HH")
        values = (value,) if kind == 4 else (value, 0)
        if tag == 258 and channels == 3:  # three numbers, which do not fit into the entry
            offset = 8 + len(content) + 2 + 12 * len(entries) + 4
            count, form, values = 3, "I", (offset,)
        table += struct.pack(f"{order}HHI{form}", tag, kind, count, *values)
    table += struct.pack(f"{order}I3H", 0, 16, 16, 16)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    path.write_bytes(magic + struct.pack(f"{order}I", 8 + len(content)) + content + table)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_with_16_bits(tmp_path, order, channels):
    """Grey levels keep their bits; colours are read with 8."""
    pixels = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, channels))
    file = write_tiff(tmp_path / "a.tif", pixels, order)
    tolerance = 1e-6 if channels == 1 else 1 / 255
    expected = np.broadcast_to(pixels / 65535, (HEIGHT, WIDTH, 3))
    np.testing.assert_allclose(read_image(file), expected, atol=tolerance)
    mean = expected.mean(axis=(0, 1))
    np.testing.assert_allclose(read_scaled(file, 1, 1)[0, 0], mean, atol=tolerance)


@pytest.mark.parametrize("values", [np.float32, np.int32])
def test_values_that_are_no_colours_are_refused(tmp_path, values):
    """A depth map, or linear light: nobody can guess its scale."""
    Image.fromarray(np.ones((4, 4), values)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match="not 8-bit or 16-bit colours"):
        read_header(tmp_path / "a.tif")


def test_raw_files_that_are_tiff_inside_are_told_by_their_tags(tmp_path):
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[50706] = b"\1\4\0\0"  # DNGVersion
    Image.fromarray(pixels_of()).save(tmp_path / "a.tif", tiffinfo=tags)
    with pytest.raises(UnreadableImage, match="which is camera raw: convert it"):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_image_is_turned_as_it_says(tmp_path, orientation):
    """By Pillow itself; the header must tell the same size as the pixels have."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels_of()).save(tmp_path / "a.tif", exif=exif)
    width, height = read_header(tmp_path / "a.tif").size
    assert (width, height) == ((HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT))
    assert read_pixels(tmp_path / "a.tif").shape == (height, width, 3)


@pytest.mark.parametrize("ending", ["tif", "webp"])
def test_of_several_pages_the_first_is_read_and_a_note_says_so(tmp_path, ending):
    folder = write_nerfstudio(tmp_path)
    first, second = Image.fromarray(pixels_of()), Image.new("RGB", (WIDTH, HEIGHT))
    path = folder / "images" / "view_3.png"
    first.save(path, save_all=True, append_images=[second], **LOSSLESS[ending])
    loaded = load_folder(folder)
    assert any("only the first is read: view_3.png" in note for note in loaded.notes)
    np.testing.assert_array_equal(loaded.scene.images.bytes_of(3), pixels_of())


@pytest.mark.parametrize("kind", UNREAD)
def test_what_is_not_read_is_refused_by_its_kind_once(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("nerf.captures.images.kinds._load_heic_decoder", lambda: False)
    folder = write_nerfstudio(tmp_path)
    files = sorted((folder / "images").iterdir())
    for file in files:
        file.write_bytes(UNREAD[kind])
    with pytest.raises(InvalidCapture) as caught:
        load_folder(folder)
    (message,) = caught.value.problems
    names = ", ".join(file.name for file in files[:3])
    assert f"6 images in {folder / 'images'} ({names} and 3 more), which are {kind}" in message
    files[0].write_bytes(UNREAD["empty"])
    with pytest.raises(InvalidCapture) as caught:
        load_folder(folder)
    assert len(caught.value.problems) == (1 if kind == "empty" else 2)


@pytest.mark.parametrize("kind", ["HEIC", "OpenEXR", "JPEG XL", "JPEG 2000", "camera raw"])
def test_images_that_are_not_read_come_with_the_command_that_converts_them(tmp_path, kind):
    file = tmp_path / "a.xyz"
    file.write_bytes(UNREAD[kind])
    with pytest.raises(UnreadableImage, match=r"convert it .*`mogrify .*/\*\.xyz`|damaged"):
        read_header(file)


@pytest.mark.parametrize("max_size", [0, 6])
def test_all_files_that_are_cut_are_told_at_once(tmp_path, max_size):
    """Only decoding shows it: the headers are whole."""
    folder = write_nerfstudio(tmp_path)
    for index in range(6):
        path = folder / "images" / f"view_{index}.png"
        Image.fromarray(pixels_of()).save(path, format="JPEG")
        if index in (2, 5):
            path.write_bytes(path.read_bytes()[:-150])
    message = refusal(folder, max_size=max_size)
    assert "2 images" in message
    assert "(view_2.png, view_5.png), which are JPEG, damaged or incomplete" in message


def test_damaged_files_of_different_kinds_are_told_apart(tmp_path):
    folder = write_nerfstudio(tmp_path)
    for index, form in ((2, "JPEG"), (5, "PNG")):
        path = folder / "images" / f"view_{index}.png"
        Image.fromarray(pixels_of()).save(path, format=form)
        path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(InvalidCapture) as caught:
        load_folder(folder, CaptureOptions(max_size=0))
    jpeg, png = caught.value.problems
    assert "view_2.png, which is JPEG, damaged" in jpeg
    assert "view_5.png, which is PNG, damaged" in png


def test_the_advice_to_convert_is_good_advice(tmp_path):
    """The command leaves the originals there, or takes their place where the name was wrong."""
    folder = write_nerfstudio(tmp_path, change=as_exr)
    images = folder / "images"
    for path in sorted(images.iterdir()):
        path.with_suffix(".exr").write_bytes(UNREAD["OpenEXR"])
        path.rename(tmp_path / path.name)
    assert f"convert them to PNG, e.g. `mogrify -format png {images}/*.exr`" in refusal(folder)
    for path in sorted(images.iterdir()):
        (tmp_path / f"{path.stem}.png").rename(path.with_suffix(".png"))
    loaded = load_folder(folder)
    assert loaded.notes == ()
    (images / "view_1.png").write_bytes(UNREAD["OpenEXR"])
    message = refusal(folder)
    assert f"to what the name says, e.g. `mogrify -format png {images}/*.png`" in message


def as_exr(content):
    for frame in content["frames"]:
        frame["file_path"] = frame["file_path"].replace(".png", ".exr")


def test_a_folder_of_a_kind_that_is_not_read_says_so(tmp_path):
    folder = write_procedural(tmp_path, "flower")
    for path in sorted((folder / "images").iterdir()):
        path.rename(path.with_suffix(".exr")).write_bytes(UNREAD["OpenEXR"])
    message = refusal(folder)
    assert "no images" in message
    assert "view_000.exr there is OpenEXR, which is not read: convert" in message
    assert f"`mogrify -format png {folder / 'images'}/*.exr`" in message


def test_no_other_decoder_runs_whatever_a_file_is_called(tmp_path, monkeypatch):
    """Pillow knows EPS, for which it starts Ghostscript."""

    def refuse(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    Image.fromarray(pixels_of()).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match="which is PostScript"):
        read_pixels(tmp_path / "a.tif")
    assert decoders_of(kind_of(b"%!PS-Adobe")) == ()


@pytest.mark.parametrize(
    ("head", "name"), [(b"P5\n4 4\n255\n", "PNM"), (b"P2: 7.0e+02 0.0", "text, not an image")]
)
def test_the_calibration_of_kitti_is_no_image(head, name):
    assert kind_of(head).name == name
