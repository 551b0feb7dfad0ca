"""A small RFC 6455 client, blocking and with deadlines, which also says the things that a good client does not: text
frames, half a handshake, masks left out, any opcode. Only what the tests need."""

import base64
import os
import socket
import struct
import time

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Refused(Exception):
    """The server answered the upgrade with another status than 101."""

    def __init__(self, status, headers, body=b""):
        super().__init__(f"HTTP {status}")
        self.status, self.headers, self.body = status, headers, body


def read_http_head(sock, deadline):
    """Status, headers (lower-case names) and what followed the blank line."""
    data = b""
    while b"\r\n\r\n" not in data:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"closed during the HTTP response: {data!r}")
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    return int(first.split()[1]), headers, rest


def upgrade_request(host, path="/", origin=None, protocol="sluice.v1", extra=()):
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version: 13"]
    if origin is not None:
        lines.append(f"Origin: {origin}")
    if protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return ("\r\n".join([*lines, *extra]) + "\r\n\r\n").encode()


def encode(opcode, payload, *, final=True, masked=True):
    head = bytes([(0x80 if final else 0) | opcode])
    flag = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 1 << 16:
        head += struct.pack(">BH", flag | 126, len(payload))
    else:
        head += struct.pack(">BQ", flag | 127, len(payload))
    if not masked:
        return head + payload
    mask = os.urandom(4)
    keys = (mask * (len(payload) // 4 + 1))[:len(payload)]
    body = (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")
    return head + mask + body


class WebSocketStream:
    """The byte stream that the binary messages of a WebSocket carry, with the frame boundaries on the side."""

    def __init__(self, sock, deadline_s, *, host=None, answer_pings=True, **request):
        self.sock, self.deadline_s, self.answer_pings = sock, deadline_s, answer_pings
        self.close_code = None
        self.close_reason = b""
        self.pings = 0
        self.pongs = 0
        self.text_frames = 0
        peer = sock.getpeername()
        sock.sendall(upgrade_request(host or f"{peer[0]}:{peer[1]}", **request))
        status, self.headers, self._data = read_http_head(sock, time.monotonic() + deadline_s)
        if status != 101:
            raise Refused(status, self.headers, self._data)

    def send(self, data):
        self.send_frame(BINARY, data)

    def send_frame(self, opcode, payload, **options):
        self.sock.settimeout(self.deadline_s)
        self.sock.sendall(encode(opcode, payload, **options))

    def receive(self, deadline):
        """The payload of the next data frame; b"" at the end of the stream (see close_code)."""
        while True:
            opcode, payload = self._frame(deadline)
            if opcode is None:
                return b""
            if opcode == CLOSE:
                self.close_code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else 1005
                self.close_reason = payload[2:]
            elif opcode == PING:
                self.pings += 1
                if self.answer_pings:
                    self._quietly(PONG, payload)
            elif opcode == PONG:
                self.pongs += 1
            elif payload:
                self.text_frames += opcode == TEXT
                return payload

    def _quietly(self, opcode, payload):
        try:
            self.send_frame(opcode, payload)
        except OSError:
            pass # the reading side will say what happened

    def _frame(self, deadline):
        head = self._take(2, deadline)
        if head is None:
            return None, b""
        if head[1] & 0x80:
            raise ValueError("the server masked a frame")
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack(">H", self._take(2, deadline))[0]
        elif length == 127:
            length = struct.unpack(">Q", self._take(8, deadline))[0]
        return head[0] & 0x0F, self._take(length, deadline)

    def _take(self, count, deadline):
        while len(self._data) < count:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = self.sock.recv(262144)
            if not piece:
                return None
            self._data += piece
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def close(self):
        self.sock.close()


class HttpResponse:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def http_get(address, path, deadline_s, *, method="GET", host=None, headers=(), body=b""):
    """One request on a connection of its own."""
    deadline = time.monotonic() + deadline_s
    with socket.create_connection(address, deadline_s) as sock:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or '%s:%d' % address}", "Connection: close", *headers]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        status, answer, data = read_http_head(sock, deadline)
        wanted = int(answer["content-length"]) if "content-length" in answer else None
        while method != "HEAD" and (wanted is None or len(data) < wanted):
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = sock.recv(262144)
            if not piece:
                break
            data += piece
        return HttpResponse(status, answer, data)
