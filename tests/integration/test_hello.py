"""The first frames of a connection: HELLO, WELCOME, the deadline for it, and keep-alive."""

import time

import broker
import client
import mp


class Hello(broker.BrokerTest):
    def test_a_hello_is_answered_with_welcome_on_both_transports(self):
        running = self.start()
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme), running.dial(scheme) as peer:
                peer.send(client.HELLO, 1, {"client": "tests"})
                op, session, facts = peer.expect(client.WELCOME)
                self.assertIsInstance(session, str)
                self.assertTrue(facts["server"].startswith("sluiced/"), facts)
                self.assertGreaterEqual(facts["max_frame"], 1024 * 1024)

    def test_hello_may_leave_its_options_out(self):
        with self.start().dial() as peer:
            peer.send(client.HELLO, 1)
            peer.expect(client.WELCOME)

    def test_unknown_hello_keys_are_ignored(self):
        with self.start().dial() as peer:
            peer.greet(**{"client": "tests", "moon": "full", "nested": {"a": [1, 2, {"b": None}]}})

    def test_each_session_has_a_name_of_its_own(self):
        running = self.start()
        with running.connect() as one, running.connect() as other:
            self.assertNotEqual(one.welcome[1], other.welcome[1])

    def test_clients_may_pipeline_behind_hello(self):
        with self.start().dial() as peer:
            peer.send_raw(mp.frame(client.HELLO, 1, {}) + mp.frame(client.SUB, 1, "a") + mp.frame(client.PUB, 2, "a", b"x")
                          + mp.frame(client.PING))
            peer.expect(client.WELCOME)
            peer.expect(client.OK, 1)
            rest = [peer.next(), peer.next(), peer.next()]
            self.assertIn([client.MSG, "a", b"x"], rest)
            self.assertIn([client.OK, 2], rest)
            self.assertIn([client.PONG], rest)

    def test_any_other_first_frame_is_refused_with_bye(self):
        running = self.start()
        for first in ((client.SUB, 1, "a"), (client.PUB, 1, "a", b"x"), (client.PING,), (200, 1)):
            with self.subTest(first), running.dial() as peer:
                peer.send(*first)
                peer.expect_bye("hello_required")

    def test_a_second_hello_ends_the_connection(self):
        with self.start().connect() as peer:
            peer.send(client.HELLO, 1, {})
            peer.expect_bye("protocol_error")

    def test_another_protocol_version_is_unsupported(self):
        with self.start().dial() as peer:
            peer.send(client.HELLO, 99, {})
            peer.expect_bye("unsupported")

    def test_a_client_that_says_nothing_is_closed_at_the_hello_deadline(self):
        running = self.start({"session.hello_timeout": "200ms"})
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme), running.dial(scheme) as peer:
                began = time.monotonic()
                peer.expect_bye("timeout")
                self.assertGreater(time.monotonic() - began, 0.1)

    def test_half_a_hello_does_not_stretch_the_deadline(self):
        with self.start({"session.hello_timeout": "200ms"}).dial() as peer:
            peer.send_raw(mp.frame(client.HELLO, 1, {"client": "x" * 50})[:20])
            peer.expect_bye("timeout")


class KeepAlive(broker.BrokerTest):
    def test_ping_is_answered_with_pong(self):
        running = self.start()
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme), running.connect(scheme) as peer:
                peer.send(client.PING)
                peer.expect(client.PONG)

    def test_the_keep_alive_that_hello_asks_for_is_granted(self):
        with self.start().dial() as peer:
            peer.greet(keepalive_s=7)
            self.assertEqual(peer.welcome[2]["keepalive_s"], 7)

    def test_a_silent_client_is_probed_and_then_closed(self):
        with self.start().dial() as peer:
            peer.answer_pings = False
            peer.greet(keepalive_s=1)
            frames = peer.expect_bye("keepalive_timeout")
            self.assertIn([client.PING], frames)

    def test_a_client_that_answers_pings_stays(self):
        with self.start().dial() as peer:
            peer.answer_pings = False
            peer.greet(keepalive_s=1)
            for _ in range(3):
                peer.expect(client.PING)
                peer.send(client.PONG)
            self.assertEqual(peer.fence(), [])

    def test_a_client_that_only_publishes_needs_no_pong(self):
        with self.start().dial() as peer:
            peer.answer_pings = False
            peer.greet(keepalive_s=1)
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                peer.publish("a", b"x")
                time.sleep(0.1)  # the traffic under test is one that trickles
            self.assertEqual([frame for frame in peer.fence() if frame[0] == client.BYE], [])

    def test_a_websocket_is_probed_with_its_own_pings(self):
        with self.start({"http.ping_interval": "200ms"}).connect("ws") as peer:
            deadline = time.monotonic() + broker.DEADLINE_S
            while peer.stream.pings < 3:
                with self.assertRaises(TimeoutError):
                    peer.stream.receive(time.monotonic() + 0.2)
                self.assertLess(time.monotonic(), deadline)
            self.assertEqual(peer.fence(), [])

    def test_a_websocket_that_answers_no_ping_is_closed(self):
        with self.start({"http.ping_interval": "200ms"}).dial("ws") as peer:
            peer.stream.answer_pings = peer.answer_pings = False
            peer.greet(keepalive_s=1)
            peer.expect_bye("keepalive_timeout")


if __name__ == "__main__":
    broker.main()
