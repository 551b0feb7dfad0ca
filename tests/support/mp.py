"""MessagePack for the tests: enough of it to speak sluice.v1, and raw helpers to say things no good client says.
Deliberately independent of the broker's codec (written from the specification)."""

import struct


class Raw(bytes):
    """Bytes that pack() passes through as they are: a hand-made value inside an otherwise sound frame."""


class Text(bytes):
    """Bytes packed as str, whatever they are: invalid UTF-8 on purpose."""


def _head(n, fix, short, long, wide, full):
    if fix is not None and n <= fix[1]:
        return bytes([fix[0] | n])
    if short is not None and n < 1 << 8:
        return bytes([short, n])
    if n < 1 << 16:
        return struct.pack(">BH", long, n)
    if n < 1 << 32:
        return struct.pack(">BI", wide, n)
    return struct.pack(">BQ", full, n)


def _pack_int(n):
    if n >= 0:
        return _head(n, (0x00, 0x7F), 0xCC, 0xCD, 0xCE, 0xCF)
    if n >= -32:
        return struct.pack(">b", n)
    for form, code, bits in ((">Bb", 0xD0, 8), (">Bh", 0xD1, 16), (">Bi", 0xD2, 32)):
        if n >= -(1 << (bits - 1)):
            return struct.pack(form, code, n)
    return struct.pack(">Bq", 0xD3, n)


def array_head(n):
    return _head(n, (0x90, 15), None, 0xDC, 0xDD, None)


def map_head(n):
    return _head(n, (0x80, 15), None, 0xDE, 0xDF, None)


def pack(value):
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Text):
        return _head(len(value), (0xA0, 31), 0xD9, 0xDA, 0xDB, None) + bytes(value)
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, (bytes, bytearray)):
        return _head(len(value), None, 0xC4, 0xC5, 0xC6, None) + bytes(value)
    if isinstance(value, str):
        return pack(Text(value.encode()))
    if isinstance(value, (list, tuple)):
        return array_head(len(value)) + b"".join(pack(item) for item in value)
    if isinstance(value, dict):
        return map_head(len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())
    raise TypeError(f"cannot pack {type(value).__name__}")


class Truncated(Exception):
    pass


class _Reader:
    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise Truncated
        piece = self.data[self.at:self.at + n]
        self.at += n
        return piece

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def text(self, n):
        return str(self.take(n), "utf-8")

    def items(self, n):
        return [self.value() for _ in range(n)]

    def pairs(self, n):
        return {self.value(): self.value() for _ in range(n)}

    def value(self):
        code = self.number("B")
        if code < 0x80:
            return code
        if code < 0x90:
            return self.pairs(code & 15)
        if code < 0xA0:
            return self.items(code & 15)
        if code < 0xC0:
            return self.text(code & 31)
        if code >= 0xE0:
            return code - 256
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if code in _SIZED:
            read, form = _SIZED[code]
            return read(self, self.number(form))
        if code in _NUMBERS:
            return self.number(_NUMBERS[code])
        raise ValueError(f"unexpected byte 0x{code:02x}")


_SIZED = {
    0xC4: (lambda r, n: bytes(r.take(n)), "B"), 0xC5: (lambda r, n: bytes(r.take(n)), "H"),
    0xC6: (lambda r, n: bytes(r.take(n)), "I"),
    0xD9: (_Reader.text, "B"), 0xDA: (_Reader.text, "H"), 0xDB: (_Reader.text, "I"),
    0xDC: (_Reader.items, "H"), 0xDD: (_Reader.items, "I"),
    0xDE: (_Reader.pairs, "H"), 0xDF: (_Reader.pairs, "I"),
}
_NUMBERS = {0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q",
            0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}


def unpack(data):
    """The one value that data holds; trailing bytes are an error."""
    reader = _Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes behind the value")
    return value


# ---- framing ------------------------------------------------------------------------------------------------


def size(n):
    """The size in front of a frame: always the 5-byte form."""
    return struct.pack(">BI", 0xCE, n)


def frame(*elements):
    """A whole pair: size and array."""
    body = pack(list(elements))
    return size(len(body)) + body


def framed(body):
    """A pair around any bytes, well-formed or not."""
    return size(len(body)) + body


def cut(data):
    """The first whole pair of data: (frame's value, bytes used), or None while it is incomplete."""
    if len(data) < 5:
        return None
    if data[0] != 0xCE:
        raise ValueError(f"a frame's size starts with 0x{data[0]:02x}")
    length = struct.unpack_from(">I", data, 1)[0]
    if len(data) < 5 + length:
        return None
    return unpack(bytes(data[5:5 + length])), 5 + length
