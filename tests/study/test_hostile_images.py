"""Picture files that nobody sane would send are refused in one line; odd ones are read as meant."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from noise_search.errors import UserError
from noise_search.study.pictures import pictures_in, read_image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(side: int = 32) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(values)


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def packed(count: int) -> bytes:
    """Very many zeros in very few bytes."""
    squeeze = zlib.compressobj(9)
    return b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(count)) + squeeze.flush()


def webp(width: int, height: int) -> bytes:
    """The extended header of a large canvas, and nothing to draw on it."""
    body = struct.pack("<I", 0x02) + b"".join(
        (n - 1).to_bytes(3, "little") for n in (width, height)
    )
    inner = b"WEBPVP8X" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


class Canary:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("executed",)


def animated(kind: str) -> bytes:
    return saved(kind, save_all=True, append_images=[picture().rotate(90)])


def text_bomb(zipped: bool) -> bytes:
    words = zlib.compress(bytes(2 << 20)) if zipped else b""
    found = chunk(b"zTXt", b"Comment\0\0" + words)
    whole = saved("PNG")
    return whole[:33] + found + whole[33:]


def many_texts() -> bytes:
    """Each text is within its limit, all of them are not."""
    one = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes((1 << 20) - 64)))
    whole = saved("PNG")
    return whole[:33] + one * 80 + whole[33:]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty.png": lambda: b"",
    "one_byte.png": lambda: b"\x89",
    "signature.png": lambda: SIGNATURE,
    "no_image.png": lambda: png(8, 8),
    "words.png": lambda: b"<script>alert(1)</script>",
    "script.png": lambda: b"#!/bin/sh\nmkdir executed\n",
    "pickle.png": lambda: pickle.dumps(Canary()),
    "ghostscript.jpg": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(executed) run\n",
    "vector.png": lambda: (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>'
    ),
    "entity.webp": lambda: b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><svg>&b;</svg>',
    "magick.png": lambda: b'push graphic-context\nfill "url(https://a/|mkdir executed)"\n',
    "a.gif": lambda: saved("GIF"),
    "gif.png": lambda: saved("GIF"),
    "tiff.png": lambda: saved("TIFF"),
    "bmp.jpg": lambda: saved("BMP"),
    "icon.png": lambda: saved("ICO"),
    "fits.png": lambda: b"SIMPLE  =                    T".ljust(80) + b" " * 2800,
    "square_9500.png": lambda: png(9500, 9500, chunk(b"IDAT", packed(8))),
    "square_14000.png": lambda: png(14000, 14000, chunk(b"IDAT", packed(8))),
    "endless.png": lambda: png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", packed(1))),
    "long.png": lambda: png(1, 2**31 - 1, chunk(b"IDAT", packed(1))),
    "one_bit.png": lambda: saved("PNG", Image.new("1", (10_000, 10_000))),
    "no_width.png": lambda: png(0, 8, chunk(b"IDAT", packed(1))),
    "depth.png": lambda: png(8, 8, chunk(b"IDAT", packed(1)), depth=7),
    "checksum.png": lambda: saved("PNG").replace(b"IDAT", b"IDAt", 1),
    "cut.png": lambda: saved("PNG")[:600],
    "cut.jpg": lambda: saved("JPEG")[:300],
    "cut.webp": lambda: saved("WEBP", lossless=True)[:300],
    "header.jpg": lambda: saved("JPEG")[:40],
    "large.jpg": lambda: saved("JPEG").replace(b"\x00\x20\x00\x20", b"\xff\xff\xff\xff", 1),
    "large.webp": lambda: webp(1 << 24, 1 << 24),
    "canvas.webp": lambda: webp(16_383, 16_383),
    "nothing.webp": lambda: webp(32, 32),
    "moving.png": lambda: animated("PNG"),
    "moving.webp": lambda: animated("WEBP"),
    "text.png": lambda: text_bomb(zipped=True),
    "texts.png": many_texts,
    "profile.png": lambda: SIGNATURE + saved("PNG")[8:33] + chunk(b"IDAT", b"") * 3,
    "palette.png": lambda: png(8, 8, chunk(b"PLTE", b"\1\2"), colour=3),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(HOSTILE[name]())
    with pytest.raises(UserError) as refused:
        read_image(path, "image")
    said = str(refused.value)
    assert said.startswith("image: ")
    assert str(path) in said
    assert len(said) < 300 + len(str(path))
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "not a file"),
        (os.mkfifo, "not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a file"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.symlink_to(path.with_name("gone")), "No such file"),
    ],
    ids=["folder", "pipe", "device", "loop", "nowhere"],
)
def test_what_is_no_file_is_refused_without_waiting(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(UserError, match=said):
        read_image(tmp_path / "a.png", "image")


def test_no_file_takes_more_memory_than_the_limit_of_pixels_does(tmp_path: Path) -> None:
    """Where the process may have little more than a picture of the limit takes, all is the same."""
    names = [name for name in HOSTILE if "." in name]
    for name in names:
        (tmp_path / name).write_bytes(HOSTILE[name]())
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from noise_search.study.pictures import read_image\n"
        "Image.init()\n"
        "taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "most = taken + (384 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try:\n"
        "        read_image(path, 'image')\n"
        "    except ValueError as error:\n"
        "        assert 'MemoryError' not in str(error), error\n"
        "    else:\n"
        "        sys.exit(f'{path} was read')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def mode(name: str) -> Image.Image:
    return picture().quantize(8) if name == "P" else picture().convert(name)


@pytest.mark.parametrize("name", ["RGB", "RGBA", "P", "CMYK", "YCbCr"])
def test_every_kind_of_colour_comes_as_rgb(name: str, tmp_path: Path) -> None:
    kind = "JPEG" if name in ("CMYK", "YCbCr") else "PNG"
    (tmp_path / "a").write_bytes(saved(kind, mode(name)))
    image, _ = read_image(tmp_path / "a", "image")
    assert image.mode == "RGB"
    if name in ("RGB", "RGBA"):
        assert np.array_equal(np.asarray(image), np.asarray(picture()))


@pytest.mark.parametrize("name", ["1", "L"])
def test_grey_stays_grey(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(saved("PNG", mode(name)))
    image, _ = read_image(tmp_path / "a", "image")
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), np.asarray(mode(name).convert("L")))


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "a.png")
    image, _ = read_image(tmp_path / "a.png", "image")
    assert np.abs(np.asarray(image).astype(int) - values.astype(int) // 256).max() <= 1


def test_palettes_with_transparency_are_read_without_a_warning(tmp_path: Path) -> None:
    image = picture().quantize(4)
    image.save(tmp_path / "a.png", transparency=bytes([0, 128, 255, 255]))
    assert read_image(tmp_path / "a.png", "image")[0].mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright(orientation: int, tmp_path: Path) -> None:
    whole = Image.new("RGB", (16, 8))
    whole.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    whole.save(tmp_path / "a.png", exif=exif)
    image, _ = read_image(tmp_path / "a.png", "image")
    assert image.size == ((16, 8) if orientation < 5 else (8, 16))
    corner = {1: (0, 0), 2: (15, 0), 3: (15, 7), 4: (0, 7), 5: (0, 0), 6: (7, 0), 7: (7, 15)}
    assert image.getpixel(corner.get(orientation, (0, 15))) == (255, 255, 255)


def test_a_long_description_is_no_offence(tmp_path: Path) -> None:
    """Web front ends write whole workflows into their pictures."""
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * (900 << 10))
    picture().save(tmp_path / "a.png", pnginfo=info)
    assert read_image(tmp_path / "a.png", "image")[0].size == (32, 32)


def test_the_pictures_of_a_folder_are_its_own(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "deeper").mkdir(parents=True)
    outside.mkdir()
    for path in (inside / "b.PNG", inside / "deeper/a.jpg", outside / "secret.png"):
        path.write_bytes(saved("PNG"))
    (inside / "notes.txt").write_text("no picture")
    (inside / "c.png").symlink_to(inside / "b.PNG")
    (inside / "d.png").symlink_to(outside / "secret.png")
    (inside / "e").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    found = [str(path.relative_to(inside)) for path in pictures_in(inside, "images")]
    assert found == ["b.PNG", "c.png", "deeper/a.jpg"]
    with pytest.raises(UserError, match=r"images: .*No such file"):
        list(pictures_in(tmp_path / "gone", "images"))
