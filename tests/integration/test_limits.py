"""Every limit is an option, and each is answered with a stable code: nothing for anybody else."""

import socket
import time

import broker
import client
import mp
import websocket


class LimitTest(broker.BrokerTest):
    def refused(self, peer, code, *request):
        peer.send(*request)
        peer.expect_error(code, request[1])
        self.assertEqual(peer.fence(), [])


class Sizes(LimitTest):
    def test_a_payload_at_the_limit_passes_and_one_byte_more_does_not(self):
        running = self.start({"limits.max_payload": "1000"})
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme), running.connect(scheme) as peer:
                self.assertEqual(peer.welcome[2]["max_payload"], 1000)
                peer.publish("a", b"x" * 1000)
                self.refused(peer, "too_large", client.PUB, 50, "a", b"x" * 1001)

    def test_a_frame_over_the_limit_ends_the_connection_before_it_is_read(self):
        running = self.start()
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme), running.connect(scheme) as peer:
                peer.send_raw(mp.size(peer.welcome[2]["max_frame"] + 1))
                peer.expect_bye("too_large")

    def test_a_frame_of_four_gigabytes_is_refused_by_its_size_alone(self):
        running = self.start()
        before = running.rss_bytes()
        with running.connect() as peer:
            peer.send_raw(mp.size(0xFFFFFFFF) + b"\x94\x04")
            peer.expect_bye("too_large")
        self.assertLess(running.rss_bytes() - before, 8 * 1024 * 1024)

    def test_before_hello_a_smaller_cap_applies(self):
        with self.start().dial() as peer:
            peer.send_raw(mp.size(512 * 1024) + b"\x93\x01\x01")
            peer.expect_bye("too_large")

    def test_a_topic_and_a_filter_over_the_limit_are_too_large(self):
        running = self.start({"limits.max_topic": "20"})
        with running.connect() as peer:
            peer.publish("t" * 20, b"")
            self.refused(peer, "too_large", client.PUB, 50, "t" * 21, b"")
            peer.subscribe("t" * 20)
            self.refused(peer, "too_large", client.SUB, 51, "t" * 21)

    def test_the_default_topic_limit_is_1024_bytes(self):
        with self.start().connect() as peer:
            peer.publish("t" * 1024, b"")
            self.refused(peer, "too_large", client.PUB, 50, "t" * 1025, b"")

    def test_a_filter_deeper_than_the_limit_is_refused(self):
        with self.start().connect() as peer:
            peer.subscribe("/".join(["a"] * 32))
            self.refused(peer, "limit_reached", client.SUB, 50, "/".join(["a"] * 33))
            self.refused(peer, "limit_reached", client.SUB, 51, "/".join(["+"] * 500))


class Counts(LimitTest):
    def test_subscriptions_per_connection_are_limited(self):
        running = self.start({"limits.subscriptions_per_connection": "5"})
        with running.connect() as peer, running.connect() as other:
            for n in range(5):
                peer.subscribe(f"a/{n}")
            self.refused(peer, "limit_reached", client.SUB, 50, "a/5")
            peer.subscribe("a/4", tag=1)  # replaces: not one more
            peer.unsubscribe("a/0")
            peer.subscribe("a/5")
            other.subscribe("a/0")

    def test_a_publish_rate_over_the_limit_is_told_and_then_recovers(self):
        running = self.start({"limits.publish_rate": "50"})
        with running.connect() as peer, running.connect() as other:
            for n in range(1, 301):
                peer.send(client.PUB, n, "a", b"x")
            answers = [peer.next() for _ in range(300)]
            accepted = [frame for frame in answers if frame[0] == client.OK]
            denied = [frame for frame in answers if frame[0] == client.ERR]
            self.assertTrue(accepted)
            self.assertEqual({frame[2] for frame in denied}, {"rate_limited"})
            other.publish("a", b"not mine")
            peer._last_id = 1000
            deadline = time.monotonic() + broker.DEADLINE_S
            while time.monotonic() < deadline:
                try:
                    peer.publish("a", b"later")
                    break
                except client.Denied:
                    time.sleep(0.02)  # the bucket refills with time
            else:
                self.fail("the limit never let go")

    def test_connections_are_limited_in_total(self):
        running = self.start({"limits.connections": "6"})
        peers = [running.connect("ws" if n % 2 else "tcp") for n in range(6)]
        self.assertTrue(self.turned_away(running, "tcp"))
        self.assertTrue(self.turned_away(running, "ws"))
        self.assertEqual(peers[0].fence(), [])
        peers.pop().close()
        self.eventually(lambda: not self.turned_away(running, "tcp"), "a freed place can be taken")
        for peer in peers:
            peer.close()

    def test_a_connection_that_was_sent_away_and_stays_keeps_its_place(self):
        running = self.start({"limits.connections": "6"})
        peers = [running.connect() for _ in range(6)]
        for peer in peers:
            peer.send_raw(mp.size(1) + b"\xc1")
            peer.expect_bye("protocol_error")
        self.assertTrue(self.turned_away(running, "tcp"))
        for peer in peers:
            peer.close()
        self.eventually(lambda: not self.turned_away(running, "tcp"), "their places are free at once")

    def test_connections_are_limited_per_address(self):
        running = self.start({"limits.connections_per_address": "3"})
        peers = [running.connect() for _ in range(3)]
        self.assertTrue(self.turned_away(running, "tcp"))
        self.assertTrue(self.turned_away(running, "ws"))
        with running.connect(source="127.0.0.2") as elsewhere:
            self.assertEqual(elsewhere.fence(), [])
        for peer in peers:
            peer.close()
        self.eventually(lambda: not self.turned_away(running, "tcp"), "the address may connect again")

    def turned_away(self, running, scheme):
        """Whether one more connection is refused: by BYE, an HTTP status or a plain close."""
        try:
            with running.dial(scheme) as peer:
                peer.send(client.HELLO, 1, {})
                frame = peer.next()
                if frame[0] == client.WELCOME:
                    return False
                self.assertEqual(frame[:2], [client.BYE, "limit_reached"])
                return True
        except websocket.Refused as refused:
            self.assertEqual(refused.status, 503)
            return True
        except (client.Closed, ConnectionError):
            return True


class InboundBytes(LimitTest):
    def test_unfinished_frames_together_are_bounded(self):
        running = self.start({"limits.inbound_total": "4MiB"})
        with running.connect() as other:
            peers = [running.connect() for _ in range(12)]
            for peer in peers:
                try:
                    peer.send_raw(mp.size(1024 * 1024) + mp.pack([client.PUB, 0])[:2] + b"\x00" * (900 * 1024))
                except OSError:
                    pass
            ended = 0
            deadline = time.monotonic() + broker.DEADLINE_S
            while not ended and time.monotonic() < deadline:
                ended = sum(self.has_ended(peer) for peer in peers)
            self.assertGreater(ended, 0, "12 unfinished frames of 900 KiB fit into 4 MiB")
            other.subscribe("a")
            other.publish("a", b"x")
            other.expect_msg("a", b"x")
            for peer in peers:
                peer.close()

    def has_ended(self, peer):
        try:
            frame = peer.next(timeout=0.05)
            self.assertEqual(frame[0], client.BYE)
            self.assertIn(frame[1], ("overloaded", "limit_reached", "too_large"))
            return True
        except client.Closed:
            return True
        except AssertionError:
            return False

    def test_unfinished_frames_grow_with_the_bytes_received_not_the_bytes_claimed(self):
        running = self.start()
        before = running.rss_bytes()
        peers = [running.connect() for _ in range(50)]
        for peer in peers:
            peer.send_raw(mp.size(1024 * 1024) + b"\x94\x04\x00")
        peers[0].stream.sock.getpeername()
        with running.connect() as other:
            self.assertEqual(other.fence(), [])
        if not broker.SANITIZED:
            self.assertLess(running.rss_bytes() - before, 16 * 1024 * 1024)
        for peer in peers:
            peer.close()


class Idle(LimitTest):
    def test_a_connection_idle_past_its_deadline_is_closed(self):
        running = self.start({"session.idle_timeout": "300ms", "session.keepalive": "0"})
        with running.connect() as peer:
            peer.expect_bye("timeout")


class FileDescriptors(LimitTest):
    def test_running_out_of_descriptors_hurts_only_those_who_come_late(self):
        running = self.start(open_files=64)
        with running.connect() as early, running.connect() as publisher:
            early.subscribe("a")
            socks = []
            for scheme in ("tcp", "ws") * 60:
                sock = socket.socket()
                sock.settimeout(broker.DEADLINE_S)
                sock.connect(running.address(scheme))
                socks.append(sock)
            for n in range(20):
                publisher.publish("a", b"%d" % n)
                early.expect_msg("a", b"%d" % n)
            before = self.cpu_seconds(running)
            began = time.monotonic()
            while time.monotonic() - began < 1.0:
                publisher.publish("a", b"x")
                early.expect_msg("a", b"x")
                time.sleep(0.05)  # idle time, in which the broker must not spin
            if not broker.SANITIZED:
                self.assertLess(self.cpu_seconds(running) - before, 0.6, "the broker spins at its descriptor limit")
            for sock in socks:
                sock.close()
            self.eventually(lambda: self.welcome_again(running), "places are free again")
        self.assertLess(len(running.log()), 20000)

    def cpu_seconds(self, running):
        with open(f"/proc/{running.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def welcome_again(self, running):
        try:
            running.connect().close()
            running.connect("ws").close()
            return True
        except (OSError, client.Closed, websocket.Refused):
            return False


if __name__ == "__main__":
    broker.main()
