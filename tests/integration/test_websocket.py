"""WebSocket and HTTP: who may open one, what it may carry, and what becomes of those who break the rules."""

import socket
import time

import broker
import client
import mp
import websocket


class WebSocketTest(broker.BrokerTest):
    settings = {}

    def setUp(self):
        self.broker = self.start(self.settings)
        self.host, self.port = self.broker.address("ws")

    def upgrade(self, **options):
        """The status that an upgrade request is answered with."""
        try:
            self.broker.dial("ws", **options).close()
            return 101
        except websocket.Refused as refused:
            return refused.status

    def get(self, path, **options):
        return websocket.http_get((self.host, self.port), path, broker.DEADLINE_S, **options)


class Origins(WebSocketTest):
    def test_a_foreign_page_is_refused_with_403(self):
        for origin in ("http://evil.example", "https://evil.example:8443", f"http://evil.example:{self.port}", "null",
                       "http://127.0.0.1.evil.example", "http://localhost.evil.example", "garbage"):
            with self.subTest(origin):
                self.assertEqual(self.upgrade(origin=origin), 403)

    def test_pages_of_this_machine_and_programs_are_welcome(self):
        for origin in (None, f"http://{self.host}:{self.port}", "http://localhost:8000", "http://127.0.0.1", "http://[::1]:3000"):
            with self.subTest(origin):
                self.assertEqual(self.upgrade(origin=origin), 101)

    def test_a_foreign_host_header_is_refused(self):
        for host in ("evil.example", f"evil.example:{self.port}", "127.0.0.1.evil.example"):
            with self.subTest(host):
                self.assertIn(self.upgrade(host=host), (400, 403, 421))
                self.assertIn(self.get("/", host=host).status, (400, 403, 421))

    def test_loopback_hosts_are_accepted(self):
        for host in (f"localhost:{self.port}", f"127.0.0.1:{self.port}", f"[::1]:{self.port}"):
            with self.subTest(host):
                self.assertEqual(self.upgrade(host=host), 101)


class ConfiguredOrigins(WebSocketTest):
    settings = {"http.allowed_origins": "https://app.example"}

    def test_a_configured_origin_is_accepted(self):
        self.assertEqual(self.upgrade(origin="https://app.example"), 101)
        self.assertEqual(self.upgrade(origin="https://other.example"), 403)


class Upgrades(WebSocketTest):
    settings = {"http.handshake_timeout": "1s"}

    def test_the_upgrade_is_accepted_on_every_path(self):
        for path in ("/", "/ws", "/any/where?else"):
            with self.subTest(path):
                self.assertEqual(self.upgrade(path=path), 101)

    def test_the_subprotocol_is_confirmed(self):
        with self.broker.dial("ws") as peer:
            self.assertEqual(peer.stream.headers.get("sec-websocket-protocol"), "sluice.v1")

    def test_no_subprotocol_means_sluice_v1(self):
        with self.broker.dial("ws", protocol=None) as peer:
            peer.greet()
            peer.subscribe("a")
            peer.publish("a", b"x")
            peer.expect_msg("a", b"x")

    def test_an_unknown_subprotocol_is_refused(self):
        try:
            with self.broker.dial("ws", protocol="smoke-signals") as peer:
                peer.greet()
                self.fail("an unknown subprotocol was spoken to")
        except (websocket.Refused, client.Closed, ConnectionError):
            pass

    def test_the_known_one_of_several_subprotocols_is_picked(self):
        with self.broker.dial("ws", protocol="smoke-signals, sluice.v1") as peer:
            self.assertEqual(peer.stream.headers.get("sec-websocket-protocol"), "sluice.v1")
            peer.greet()

    def test_another_upgrade_than_websocket_is_not_taken(self):
        with socket.create_connection((self.host, self.port), broker.DEADLINE_S) as sock:
            sock.sendall(f"GET / HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                         "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n".encode())
            sock.settimeout(broker.DEADLINE_S)
            answer = sock.recv(4096)
            self.assertNotIn(b"101", answer.split(b"\r\n")[0])

    def test_a_handshake_that_never_ends_is_closed(self):
        socks = [socket.create_connection((self.host, self.port), broker.DEADLINE_S) for _ in range(20)]
        for sock in socks:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: ")
        with self.broker.connect("ws") as other:
            self.assertEqual(other.fence(), [])
        deadline = time.monotonic() + 30
        for sock in socks:
            sock.settimeout(max(deadline - time.monotonic(), 0.1))
            while sock.recv(4096):
                pass
            sock.close()

    def test_an_endless_header_is_refused(self):
        with socket.create_connection((self.host, self.port), broker.DEADLINE_S) as sock:
            sock.settimeout(broker.DEADLINE_S)
            try:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
                for _ in range(200):
                    sock.sendall(b"X-Filler: " + b"y" * 4000 + b"\r\n")
                while sock.recv(4096):
                    pass
            except OSError:
                pass
        self.assertEqual(self.upgrade(), 101)


class Messages(WebSocketTest):
    settings = {"limits.max_payload": "64KiB"}

    def test_a_text_frame_ends_the_connection(self):
        with self.broker.connect("ws") as peer:
            peer.stream.send_frame(websocket.TEXT, b"hello")
            peer.rest()
            self.assertEqual(peer.stream.close_code, 1003)

    def test_a_message_over_the_cap_is_closed_with_1009(self):
        with self.broker.connect("ws") as peer:
            try:
                peer.stream.send_frame(websocket.BINARY, b"\xce" + b"\x00" * (8 * 1024 * 1024))
            except OSError:
                pass  # closed while we were still sending: the point of the cap
            peer.rest()
            self.assertEqual(peer.stream.close_code, 1009)

    def test_a_message_over_the_cap_in_fragments_is_closed_with_1009(self):
        with self.broker.connect("ws") as peer:
            try:
                pongs = mp.frame(client.PONG) * 8192  # each is a whole frame that wants no answer
                peer.stream.send_frame(websocket.BINARY, pongs, final=False)
                for _ in range(200):
                    peer.stream.send_frame(websocket.CONTINUATION, pongs, final=False)
            except OSError:
                pass
            try:
                peer.rest()
            except AssertionError:
                self.fail("the broker waits for the end of an endless message")
            self.assertIn(peer.stream.close_code, (1009, None))

    def test_a_message_may_hold_several_frames(self):
        with self.broker.dial("ws") as peer:
            peer.send_raw(mp.frame(client.HELLO, 1, {}) + mp.frame(client.SUB, 1, "a") + mp.frame(client.PUB, 2, "a", b"x"))
            peer.expect(client.WELCOME)
            peer.expect(client.OK, 1)
            peer._last_id = 10
            self.assertIn([client.MSG, "a", b"x"], [peer.next(), peer.next()])

    def test_a_message_may_come_in_fragments_with_pings_between(self):
        wire = mp.frame(client.SUB, 1, "a") + mp.frame(client.PUB, 2, "a", b"x" * 300)
        for step in (1, 7, 100):
            with self.subTest(step), self.broker.connect("ws") as peer:
                pieces = [wire[at:at + step] for at in range(0, len(wire), step)]
                for n, piece in enumerate(pieces):
                    peer.stream.send_frame(websocket.CONTINUATION if n else websocket.BINARY, piece,
                                           final=n == len(pieces) - 1)
                    if n % 10 == 5:
                        peer.stream.send_frame(websocket.PING, b"p")
                peer._last_id = 10
                peer.expect(client.OK, 1)
                self.assertIn([client.MSG, "a", b"x" * 300], [peer.next(), peer.next()])

    def test_a_message_that_ends_inside_a_frame_is_a_protocol_error(self):
        with self.broker.connect("ws") as peer:
            peer.send_raw(mp.frame(client.PUB, 1, "a", b"x")[:-1])
            peer.expect_bye("protocol_error")

    def test_a_ping_is_answered_with_its_payload(self):
        with self.broker.connect("ws") as peer:
            peer.stream.send_frame(websocket.PING, b"payload")
            deadline = time.monotonic() + broker.DEADLINE_S  # a PONG comes when it comes, not in the order of frames
            while not peer.stream.pongs and time.monotonic() < deadline:
                peer.fence()
            self.assertEqual(peer.stream.pongs, 1)

    def test_a_close_is_answered_and_the_subscriptions_go(self):
        with self.broker.connect("ws") as peer:
            peer.subscribe("a")
            peer.stream.send_frame(websocket.CLOSE, b"\x03\xe8")
            peer.rest()

    def test_nothing_after_a_close_frame_counts(self):
        with self.broker.connect() as witness, self.broker.connect("ws") as peer:
            witness.subscribe("late")
            peer.stream.sock.sendall(websocket.encode(websocket.CLOSE, b"\x03\xe8") +
                                     websocket.encode(websocket.BINARY, mp.frame(client.PUB, 0, "late", b"x")))
            peer.rest()
            self.assertEqual(witness.fence(), [])

    def test_a_connection_cut_without_close_leaves_nothing_behind(self):
        before = self.broker.open_fds()
        for _ in range(30):
            peer = self.broker.connect("ws")
            peer.subscribe("cut")
            peer.close()
        self.eventually(lambda: self.broker.open_fds() <= before + 1, "descriptors of cut WebSockets are closed")

    def test_the_batches_to_a_reader_are_binary_messages_of_whole_frames(self):
        with self.broker.connect("ws") as peer, self.broker.connect() as publisher:
            peer.subscribe("a", queue=5000)
            publisher.send_raw(mp.frame(client.PUB, 0, "a", b"y" * 500) * 2000)
            publisher.fence()
            seen, deadline = 0, time.monotonic() + broker.DEADLINE_S
            while seen < 2000:
                message = peer.stream.receive(deadline)
                self.assertLessEqual(len(message), 65536)
                while message:
                    _, used = mp.cut(message)
                    message = message[used:]
                    seen += 1
            self.assertEqual(peer.stream.text_frames, 0)


class Http(WebSocketTest):
    def setUp(self):
        import tempfile
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(f"{self.folder}/index.html", "w", encoding="utf-8") as file:
            file.write("<!doctype html><title>x</title>")
        with open(f"{self.folder}/large.js", "wb") as file:
            file.write(b"//" + b"x" * 3_000_000)
        self.settings = {"http.root": self.folder}
        super().setUp()

    def test_files_below_the_root_are_served_with_their_type(self):
        page = self.get("/")
        self.assertEqual((page.status, page.body), (200, b"<!doctype html><title>x</title>"))
        self.assertIn("text/html", page.headers["content-type"])
        script = self.get("/large.js")
        self.assertEqual((script.status, len(script.body)), (200, 3_000_002))
        self.assertIn("javascript", script.headers["content-type"])

    def test_what_is_not_there_is_404(self):
        self.assertEqual(self.get("/none.html").status, 404)

    def test_no_path_leads_out_of_the_root(self):
        for path in ("/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
                     "/..%2f..%2f..%2f..%2fetc/passwd", "/x/../../../../../etc/passwd", "/.%00/etc/passwd"):
            with self.subTest(path):
                answer = self.get(path)
                self.assertGreaterEqual(answer.status, 400)
                self.assertNotIn(b"root:", answer.body)

    def test_a_post_is_refused(self):
        self.assertIn(self.get("/", method="POST", headers=["Content-Length: 2"], body=b"hi").status, (404, 405))

    def test_a_chunked_body_is_refused_with_411(self):
        answer = self.get("/", method="POST", headers=["Transfer-Encoding: chunked"], body=b"2\r\nhi\r\n0\r\n\r\n")
        self.assertIn(answer.status, (404, 405, 411))


if __name__ == "__main__":
    broker.main()
