"""Retained values: the last value of each topic, for whoever subscribes later, joined with the live stream."""

import tempfile
import threading
import time

import broker
import client
import mp


def snapshot(peer, topic_filter, **options):
    """SUB, and what it brings: {topic: payload} of the retained values."""
    values = {}
    if not peer.subscribe(topic_filter, **options).get("retained"):
        return values
    while (frame := peer.next())[0] != client.EVENT:
        assert frame[0] == client.MSG and frame[3]["retained"] is True and "ts_ms" in frame[3], frame
        assert frame[1] not in values, frame
        values[frame[1]] = frame[2]
    assert frame == [client.EVENT, "live", topic_filter], frame
    return values


class Values(broker.BrokerTest):
    def test_a_value_is_kept_replaced_and_cleared(self):
        running = self.start()
        with running.connect() as publisher, running.connect("ws") as subscriber:
            for payload in (b"1", b"2"):
                publisher.publish("room/1/topic", payload, retain=True)
            publisher.publish("room/2/topic", b"3", retain=True)
            publisher.publish("room/1/topic", b"passing")
            self.assertEqual(snapshot(subscriber, "room/+/topic"), {"room/1/topic": b"2", "room/2/topic": b"3"})
            publisher.publish("room/1/topic", b"", retain=True)
            self.assertEqual(subscriber.fence(), [[client.MSG, "room/1/topic", b""]])
            self.assertEqual(snapshot(subscriber, "room/#"), {"room/2/topic": b"3"})

    def test_without_a_value_the_ok_says_nothing_and_nothing_follows(self):
        with self.start().connect() as peer:
            peer.publish("a", b"x", retain=True)
            self.assertNotIn("retained", peer.subscribe("b/#"))
            self.assertEqual(peer.fence(), [])

    def test_what_the_publisher_said_comes_with_the_value(self):
        with self.start().connect() as peer:
            before = int(time.time() * 1000)
            peer.publish("a", b"x", retain=True, key="k", content_type="text/plain", headers=[["h", "1"]], ttl_ms=60_000)
            peer.subscribe("a")
            meta = peer.expect_msg("a", b"x")[3]
            self.assertAlmostEqual(meta.pop("ts_ms"), before, delta=60_000)
            self.assertEqual(meta, {"key": "k", "content_type": "text/plain", "headers": [["h", "1"]], "ttl_ms": 60_000,
                                    "retained": True})

    def test_a_value_expires(self):
        running = self.start()
        with running.connect() as publisher:
            publisher.publish("a", b"short", retain=True, ttl_ms=50)
            publisher.publish("b", b"long", retain=True, ttl_ms=600_000)
            self.eventually(lambda: self.found(running) == {"b": b"long"}, "the value has gone")

    def found(self, running):
        with running.connect() as peer:
            return snapshot(peer, "#")

    def test_tagged_and_limited_subscriptions_get_their_values_too(self):
        with self.start().connect() as peer:
            for n in range(3):
                peer.publish(f"a/{n}", b"%d" % n, retain=True)
            peer.subscribe("a/#", tag=9, max_hz=1)
            frames = [frame for frame in peer.fence() if frame[0] != client.TAG]
            self.assertEqual([frame[1] for frame in frames[:3]], ["a/0", "a/1", "a/2"])
            self.assertEqual(frames[3], [client.EVENT, "live", "a/#"])

    def test_rules_and_limits_are_told(self):
        rules = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        self.addCleanup(rules.close)
        rules.write("topics: [{filter: 'event/#', retained: false}]\n")
        rules.flush()
        running = self.start({"limits.retained_messages": "2"}, arguments=("-c", rules.name))
        with running.connect() as peer:
            for topic, code in (("event/1", "denied"), ("a", None), ("b", None), ("c", "limit_reached")):
                if not code:
                    peer.publish(topic, b"x", retain=True)
                    continue
                with self.assertRaises(client.Denied) as denied:
                    peer.publish(topic, b"x", retain=True)
                self.assertEqual(denied.exception.code, code)
            peer.publish("a", b"", retain=True)
            peer.publish("c", b"x", retain=True)
            self.assertEqual(snapshot(peer, "#"), {"b": b"x", "c": b"x"})


class Joining(broker.BrokerTest):
    TOPICS = 40

    def publish_until(self, running, mine, stop, last):
        with running.connect() as peer:
            number = 0
            while not stop.is_set():
                number += 1
                frames = [mp.frame(client.PUB, 0, topic, b"%d" % number, {"retain": True}) for topic in mine]
                peer.send_raw(b"".join(frames))
                peer.fence()
            last.update((topic, number) for topic in mine)

    def check(self, frames):
        """Each topic's numbers rise from frame to frame. The last of each."""
        seen = {}
        for frame in frames:
            if frame[0] == client.MSG:
                number = int(frame[2])
                self.assertGreater(number, seen.get(frame[1], 0), frame)
                seen[frame[1]] = number
            else:
                self.assertEqual(frame[:2], [client.EVENT, "live"])
        return seen

    def test_publishes_that_race_the_sub_come_once_and_in_order(self):
        running = self.start(shards=2)
        topics = [f"cpu/{n}" for n in range(self.TOPICS)]
        stop, last = threading.Event(), {}
        threads = [threading.Thread(target=self.publish_until, args=(running, topics[n::4], stop, last)) for n in range(4)]
        for thread in threads:
            thread.start()
        peers = []
        try:
            for n in range(60):
                peer = running.connect("ws" if n % 3 == 0 else "tcp")
                self.addCleanup(peer.close)
                peer.subscribe("cpu/#" if n % 2 else "+/+", queue=100_000)
                peers.append((peer, peer.fence()))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        with running.connect() as late:  # what is still between the shards comes live, among its snapshot
            late.subscribe("#", queue=100_000)
            self.assertEqual(self.check(late.fence()), last)
        for peer, frames in peers:
            self.assertEqual(self.check(frames + peer.fence()), last)

    def test_twenty_thousand_values_reach_a_slow_reader_once_and_hold_up_nobody(self):
        running = self.start({"delivery.queue_bytes": "256KiB"})
        count = 20_000
        with running.connect() as publisher, running.connect() as other:
            other.subscribe("live")
            for first in range(0, count, 1000):
                publisher.send_raw(b"".join(mp.frame(client.PUB, 0, f"v/{n:05}", b"x" * 100, {"retain": True})
                                            for n in range(first, first + 1000)))
                publisher.fence()
            with running.connect(receive_buffer=8192) as reader:
                reader.send(client.SUB, 77, "v/#", {"queue": 500})
                for n in range(20):
                    publisher.publish("live", b"%d" % n)
                    other.expect_msg("live", b"%d" % n)
                frames = []
                while not frames or frames[-1][0] != client.EVENT:
                    frames.append(reader.next())
                self.assertEqual(frames[0][:2], [client.OK, 77])
                self.assertEqual([frame[1] for frame in frames[1:-1]], [f"v/{n:05}" for n in range(count)])


if __name__ == "__main__":
    broker.main()
