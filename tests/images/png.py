"""PNG as tests read it: decoded with zlib alone, every checksum checked (ISO/IEC 15948)."""
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


class Picture:
    """width, height, and rows of bytes, `channels` to a pixel."""

    def __init__(self, data):
        assert data.startswith(SIGNATURE), data[:16]
        at, packed, kinds = len(SIGNATURE), b"", []
        while at < len(data):
            size, kind = struct.unpack(">I4s", data[at:at + 8])
            body = data[at + 8:at + 8 + size]
            assert struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0] == zlib.crc32(kind + body)
            kinds.append(kind)
            if kind == b"IHDR":
                self.width, self.height, depth, colour, *rest = struct.unpack(">IIBBBBB", body)
                assert depth == 8 and rest == [0, 0, 0], "8 bits, not interlaced"
                self.channels = CHANNELS[colour]
            elif kind == b"IDAT":
                packed += body
            at += 12 + size
        assert at == len(data) and kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
        self._unfilter(zlib.decompress(packed))

    def _unfilter(self, raw):
        n, step = self.width * self.channels, self.channels
        assert len(raw) == (n + 1) * self.height
        self.rows, above = [], bytes(n)
        for y in range(self.height):
            kind, row = raw[y * (n + 1)], bytearray(raw[y * (n + 1) + 1:(y + 1) * (n + 1)])
            if kind == 1:
                for i in range(step, n):
                    row[i] = (row[i] + row[i - step]) & 255
            elif kind == 2:
                row = bytearray((a + b) & 255 for a, b in zip(row, above))
            elif kind == 3:
                for i in range(n):
                    row[i] = (row[i] + ((row[i - step] if i >= step else 0) + above[i]) // 2) & 255
            elif kind == 4:
                for i in range(n):
                    a, b, c = (row[i - step], above[i], above[i - step]) if i >= step else (0, above[i], 0)
                    p, q, r = abs(b - c), abs(a - c), abs(a + b - c - c)
                    row[i] = (row[i] + (a if p <= q and p <= r else b if q <= r else c)) & 255
            else:
                assert kind == 0, kind
            above = bytes(row)
            self.rows.append(above)

    def colours(self, left=0, right=None):
        """{(r, g, b): pixels} of these columns."""
        found = {}
        right = self.width if right is None else right
        for row in self.rows:
            for x in range(left, right):
                pixel = row[x * self.channels:x * self.channels + 3]
                found[pixel] = found.get(pixel, 0) + 1
        return {tuple(pixel): n for pixel, n in found.items()}

    def share(self, colour, left=0, right=None, tolerance=0):
        """How much of these columns has that colour, 0 to 1."""
        found = self.colours(left, right)
        like = sum(n for pixel, n in found.items()
                   if all(abs(a - b) <= tolerance for a, b in zip(pixel, colour)))
        return like / sum(found.values())
