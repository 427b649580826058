"""Reads the size of a PNG."""

import struct
import zlib


def size_of_png(data):
    """The width and height of a complete, undamaged PNG; fails on anything else."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", f"no PNG: {data[:16]!r}"
    kinds, at = [], 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert zlib.crc32(kind + body) == checksum, f"damaged chunk {kind!r}"
        kinds.append(kind)
        at += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND") and b"IDAT" in kinds, kinds
    return struct.unpack(">II", data[16:24])
