"""A blocking sluice.v1 client for the tests, over TCP or WebSocket, with a deadline on every wait and no sleeps. It
hides nothing: frames come out as plain lists, and raw bytes can go in."""

import socket
import time

import mp
import websocket

HELLO, SUB, UNSUB, PUB, ACK, PING, HISTORY, PRESENCE, NACK = range(1, 10)
WELCOME, OK, ERR, MSG, GAP, EVENT, PONG, BYE, TAG = range(65, 74)


class Closed(Exception):
    """The broker closed the connection where a frame was expected."""


class Denied(Exception):
    """The broker answered a request with ERR."""

    def __init__(self, frame):
        super().__init__(f"{frame[2]}: {frame[3]}")
        self.code, self.text = frame[2], frame[3]


class TcpStream:
    def __init__(self, sock, deadline_s):
        self.sock, self.deadline_s = sock, deadline_s

    def send(self, data):
        self.sock.settimeout(self.deadline_s)
        self.sock.sendall(data)

    def receive(self, deadline):
        self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
        return self.sock.recv(262144)

    def close(self):
        self.sock.close()


def dial(scheme, address, deadline_s, *, receive_buffer=None, source=None, **options):
    """receive_buffer: bytes of SO_RCVBUF, to make a client that does not read stall soon."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source:
        sock.bind((source, 0))
    sock.settimeout(deadline_s)
    try:
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "ws":
            return Client(websocket.WebSocketStream(sock, deadline_s, **options))
        return Client(TcpStream(sock, deadline_s))
    except BaseException:
        sock.close()
        raise


class Client:
    def __init__(self, stream):
        self.stream, self.deadline_s = stream, stream.deadline_s
        self.answer_pings = True
        self.welcome = None
        self._data = bytearray()
        self._backlog = []
        self._last_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()

    def __del__(self):
        self.stream.close()

    # ---- sending

    def send_raw(self, data):
        self.stream.send(data)

    def send(self, *elements):
        self.send_raw(mp.frame(*elements))

    def greet(self, **hello):
        self.send(HELLO, 1, hello)
        self.welcome = self.expect(WELCOME)
        return self.welcome

    def next_id(self):
        self._last_id += 1
        return self._last_id

    # ---- receiving

    def _receive(self, deadline):
        """The next frame off the wire, PINGs answered and passed over."""
        while True:
            found = mp.cut(self._data)
            if found is None:
                try:
                    piece = self.stream.receive(deadline)
                except TimeoutError:
                    raise AssertionError("no frame came before the deadline") from None
                except ConnectionError as error:
                    raise Closed(str(error)) from None
                if not piece:
                    raise Closed("end of stream" if not self._data else f"end of stream inside a frame: {bytes(self._data)!r}")
                self._data += piece
                continue
            frame, used = found
            del self._data[:used]
            if frame == [PING] and self.answer_pings:
                self.send(PONG)
                continue
            return frame

    def next(self, timeout=None):
        """The next frame; the deadline passing is a failure, the end of the stream is Closed."""
        if self._backlog:
            return self._backlog.pop(0)
        return self._receive(time.monotonic() + (timeout or self.deadline_s))

    def expect(self, op, *elements, timeout=None):
        """The next frame, which must have this op and begin with these elements."""
        frame = self.next(timeout)
        wanted = [op, *elements]
        if frame[:len(wanted)] != wanted:
            raise AssertionError(f"expected {wanted!r}, got {frame!r}")
        return frame

    def expect_msg(self, topic, payload=None):
        frame = self.expect(MSG, topic)
        if payload is not None and frame[2] != payload:
            raise AssertionError(f"expected {payload!r} on {topic}, got {frame[2]!r}")
        return frame

    def answer(self, request_id):
        """OK's frame for a request; Denied for ERR. What else comes meanwhile is kept, in order, for next()."""
        deadline = time.monotonic() + self.deadline_s
        while True:
            frame = self._receive(deadline)
            if frame[0] == OK and frame[1] == request_id:
                return frame
            if frame[0] == ERR and frame[1] == request_id:
                raise Denied(frame)
            self._backlog.append(frame)

    def call(self, op, *elements):
        request_id = self.next_id()
        self.send(op, request_id, *elements)
        return self.answer(request_id)

    # ---- the protocol's verbs

    def subscribe(self, topic_filter, **options):
        """The options as granted."""
        frame = self.call(SUB, topic_filter, options) if options else self.call(SUB, topic_filter)
        return frame[2] if len(frame) > 2 else {}

    def unsubscribe(self, topic_filter):
        return self.call(UNSUB, topic_filter)

    def publish(self, topic, payload=b"", **options):
        """Publishes and waits for OK."""
        return self.call(PUB, topic, payload, options) if options else self.call(PUB, topic, payload)

    def publish_unanswered(self, topic, payload=b"", **options):
        self.send(PUB, 0, topic, payload, *([options] if options else []))

    # ---- ends and fences

    def fence(self):
        """PING, and every frame that came before its PONG."""
        self.send(PING)
        frames, self._backlog = self._backlog, []
        deadline = time.monotonic() + self.deadline_s
        while (frame := self._receive(deadline)) != [PONG]:
            frames.append(frame)
        return frames

    def expect_error(self, code, request_id=None):
        """The next frame is ERR with this code (and id). Returns it."""
        frame = self.expect(ERR)
        if frame[2] != code or (request_id is not None and frame[1] != request_id):
            raise AssertionError(f"expected ERR {code}, got {frame!r}")
        return frame

    def rest(self):
        """Every frame up to the end of the stream, which must come before the deadline."""
        frames = []
        try:
            while True:
                frames.append(self.next())
        except Closed:
            return frames

    def expect_bye(self, code):
        """The connection ends, and its last frame is BYE with this code. Returns all frames before it."""
        frames = self.rest()
        if not frames or frames[-1][0] != BYE or frames[-1][1] != code:
            raise AssertionError(f"expected BYE {code} and the end, got {frames[-3:]!r} and the end")
        if len(frames[-1]) != 4:
            raise AssertionError(f"BYE has four elements, not {frames[-1]!r}")
        return frames[:-1]

    def expect_closed(self):
        """The connection ends without another frame."""
        frames = self.rest()
        if frames:
            raise AssertionError(f"expected the end, got {frames[:3]!r}")


class Tally:
    """Counts what a subscription received and what GAPs say it did not."""

    def __init__(self):
        self.delivered = 0
        self.lost = {}
        self.payloads = []

    def add(self, frame):
        if frame[0] == MSG:
            self.delivered += 1
            self.payloads.append(frame[2])
        elif frame[0] == GAP:
            self.lost[frame[3]] = self.lost.get(frame[3], 0) + frame[2]

    @property
    def reported(self):
        return sum(self.lost.values())

    def take_until(self, client, matched):
        """Reads until delivered + reported reaches `matched`; more than that is a failure."""
        while self.delivered + self.reported < matched:
            self.add(client.next())
        if self.delivered + self.reported != matched:
            raise AssertionError(f"{matched} matched, but {self.delivered} delivered + {self.lost} reported")
        return self
