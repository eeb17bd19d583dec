"""Which image files are read, as which pixels, and which are refused in one line that names the file."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from hqc_ray.data.sources import picture
from hqc_ray.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def saved(image, path, **options):
    image.save(path, **options)
    return path


def opaque(mode):
    return Image.fromarray(RGB).convert(mode)


READ = {
    "grey": (Image.fromarray(GREY), "x.png", np.repeat(GREY[..., None], 3, -1)),
    "one bit": (Image.fromarray(GREY > 99), "x.png", np.repeat(255 * (GREY > 99)[..., None], 3, -1)),
    "alpha": (opaque("RGBA"), "x.png", RGB),
    "grey, alpha": (Image.fromarray(GREY).convert("LA"), "x.png", np.repeat(GREY[..., None], 3, -1)),
    "palette": (Image.fromarray(GREY).convert("P"), "x.png", np.repeat(GREY[..., None], 3, -1)),
    "bmp": (Image.fromarray(RGB), "x.BMP", RGB),
    "tiff": (Image.fromarray(RGB), "x.tif", RGB),
}


@pytest.mark.parametrize("case", READ)
def test_what_has_one_meaning_is_read_exactly(tmp_path, case):
    image, name, wanted = READ[case]
    file = saved(image, tmp_path / name)
    np.testing.assert_array_equal(np.asarray(picture.load(file)), wanted)
    assert picture.size(file) == (6, 9)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright_as_its_exif_data_say(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    big = Image.fromarray(np.repeat(np.repeat(RGB, 8, 0), 8, 1))
    file = saved(big, tmp_path / f"x.{suffix}", exif=exif)
    image = picture.load(file)
    assert picture.size(file) == (image.height, image.width) == ((48, 72) if orientation < 5 else (72, 48))
    if orientation == 6:  # turned by a quarter to the right
        assert np.abs(np.asarray(image, int)[2::8, 2::8] - np.rot90(RGB.astype(int), -1)).mean() < 40


def transparent():
    image = opaque("RGBA")
    image.putpixel((2, 3), (1, 2, 3, 254))
    return image


def deep(bits):
    return Image.fromarray(GREY.astype(np.uint16) * 257) if bits == 16 else Image.fromarray(GREY.astype(np.float32))


REFUSED = {
    "transparent": (transparent(), "x.png", {}, "has transparent pixels"),
    "transparent colour": (Image.fromarray(GREY).convert("P"), "x.png", {"transparency": int(GREY[0, 0])}, "has transparent"),
    "16 bits": (deep(16), "x.png", {}, "pixels of mode I;16.*8 bits per channel"),
    "16 bits, tiff": (deep(16), "x.tif", {}, "pixels of mode I;16"),
    "floats": (deep(32), "x.tif", {}, "pixels of mode F"),
    "cmyk": (opaque("CMYK"), "x.jpg", {}, "pixels of mode CMYK"),
    "lab": (Image.merge("LAB", opaque("RGB").split()), "x.tif", {}, "pixels of mode LAB"),
    "frames": (opaque("RGB"), "x.png", {"save_all": True, "append_images": [opaque("L").convert("RGB")]}, "holds 2 images"),
    "pages": (opaque("RGB"), "x.tif", {"save_all": True, "append_images": [opaque("RGB")] * 2}, "holds 3 images"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, case):
    image, name, options, said = REFUSED[case]
    file = saved(image, tmp_path / name, **options)
    with pytest.raises(DataError, match=said) as caught:
        picture.load(file)
    assert str(caught.value).startswith(str(file))


def png(rows, bits, colour):
    """A PNG of 16 bits per channel, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = rows.shape[:2]
    data = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_colours_of_16_bits_are_refused_though_pillow_would_cut_them(tmp_path):
    file = tmp_path / "x.png"
    file.write_bytes(png(RGB.astype(np.uint16) * 257 + 3, 16, 2))
    assert Image.open(file).mode == "RGB"
    with pytest.raises(DataError, match="more than 8 bits in the file"):
        picture.load(file)


@pytest.mark.parametrize("side", [8193, 11_000, 20_000])
def test_a_large_image_is_refused_before_it_is_decoded(tmp_path, side, monkeypatch):
    file = saved(Image.new("1", (side, side)), tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (picture.load, picture.size):
            with pytest.raises(DataError, match=r"too many pixels|\d+ x \d+ pixels .*at most 67,108,864 pixels"):
                read(file)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\0" * 99, b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png: not a readable image") as caught:
        picture.load(tmp_path / "x.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file(tmp_path, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(np.repeat(RGB, 8, 0), 8, 1)).save(buffer, kind)
    (tmp_path / "x.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(DataError, match=r"x\.png: not a readable image"):
        picture.load(tmp_path / "x.png")


def test_a_link_to_nowhere_and_no_permission_are_called_so(tmp_path, monkeypatch):
    (tmp_path / "x.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="a link to a file that is not there"):
        picture.load(tmp_path / "x.png")
    monkeypatch.setattr(Image, "open", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(DataError, match="no permission to read it"):
        picture.load(tmp_path / "x.png")
