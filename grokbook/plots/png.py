"""Pictures at a quarter of their size: the PNG that Chrome writes, with a palette instead of four bytes a pixel.

A figure has few colours and many shades of them at the edges of lines. 256 are enough for the eye.
"""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"

COLORS = 256
"""As many as one byte a pixel can name."""


def shrink(png: bytes) -> bytes:
    """The same picture with a palette of `COLORS` colours, each pixel the nearest of them.

    Made for what Chrome writes: 8-bit RGBA, opaque, rows unfiltered or filtered by difference. Anything else comes
    back as it is. Deterministic.
    """
    pixels = _pixels(png)
    if pixels is None:
        return png
    packed = pixels[..., :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colors, where, count = np.unique(packed, return_inverse=True, return_counts=True)
    rgb = (colors[:, None] >> np.array([16, 8, 0], np.uint32) & 255).astype(np.int32)
    palette, nearest = _palette(rgb, count)
    index = nearest[where.reshape(packed.shape)]
    height, width = packed.shape
    rows = np.pad(index, ((0, 0), (1, 0)))
    return (SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
            + _chunk(b"PLTE", palette.astype(np.uint8).tobytes()) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
            + _chunk(b"IEND", b""))


def _palette(rgb: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `COLORS` of the colours (color, 3), and the place of the nearest of them for each colour, uint8.

    The most frequent ones, then time and again the one that is farthest from those chosen, so that neither large
    areas nor rare colours go wrong.
    """
    chosen = np.argsort(-count, kind="stable")[:COLORS // 2].tolist()
    distance = np.full(len(rgb), np.iinfo(np.int32).max)
    nearest = np.zeros(len(rgb), np.uint8)
    for place in range(min(COLORS, len(rgb))):
        if place == len(chosen):
            chosen.append(int(distance.argmax()))
        here = ((rgb - rgb[chosen[place]]) ** 2).sum(axis=1)
        nearest[here < distance] = place
        distance = np.minimum(distance, here)
    return rgb[chosen], nearest


def _pixels(png: bytes) -> np.ndarray | None:
    """RGBA of every pixel, (height, width, 4) uint8; None where the picture is none that Chrome writes."""
    chunks, at = [], len(SIGNATURE)
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        chunks.append((png[at + 4:at + 8], png[at + 8:at + 8 + size]))
        at += 12 + size
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    data = np.frombuffer(zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT")), np.uint8)
    if form != [8, 6, 0, 0, 0]:
        return None
    rows = data.reshape(height, 1 + 4 * width)
    if rows[:, 0].max() > 2:
        return None
    pixels = rows[:, 1:].reshape(height, width, 4).copy()
    for i in range(height):
        if rows[i, 0] == 1:
            pixels[i] = np.cumsum(pixels[i], axis=0, dtype=np.uint8)
        elif rows[i, 0] == 2 and i:
            pixels[i] += pixels[i - 1]
    return pixels


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
