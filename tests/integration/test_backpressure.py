"""Subscribers that do not keep up. What they lost is counted to the message, stands where it was lost, and costs nobody
else anything. At rest, for every connection still open: matched = delivered + reported."""

import time

import broker
import client
import mp

# More than the kernel takes off the broker's hands for a client that does not read (measured: below 5 MB).
FLOOD_BYTES = 24 * 1024 * 1024


def number(payload):
    return int(payload[:10])


def numbered(n, size):
    return b"%010d" % n + b"." * (size - 10)


class Flood:
    """Publishes numbered messages to topics in turn, without waiting for the subscriber."""

    def __init__(self, publisher, size=8192, topics=("flood",)):
        self.publisher, self.size, self.topics = publisher, size, topics
        self.sent = 0

    def send(self, count=None):
        count = count or FLOOD_BYTES // self.size
        for start in range(0, count, 64):
            batch = range(self.sent + start, self.sent + min(start + 64, count))
            self.publisher.send_raw(b"".join(
                mp.frame(client.PUB, 0, self.topics[n % len(self.topics)], numbered(n, self.size)) for n in batch))
        self.publisher.fence()
        self.sent += count
        return count


class Reading(broker.BrokerTest):
    """Who reads loses nothing, however much comes at once."""

    OPTIONS = ({}, {"tag": 1}, {"policy": "drop_newest", "tag": 1}, {"policy": "conflate", "tag": 1},
               {"policy": "disconnect", "tag": 1})

    def test_a_burst_beyond_the_queue_reaches_a_subscriber_that_reads(self):
        for scheme in ("tcp", "ws"):
            for options in self.OPTIONS:
                with self.subTest(scheme=scheme, **options):
                    running = self.start()
                    with running.connect(scheme) as subscriber, running.connect() as publisher:
                        subscriber.subscribe("flood", queue=10, **options)
                        flood = Flood(publisher, size=16)
                        flood.send(64)
                        got = []
                        while len(got) < flood.sent:
                            frame = subscriber.next()
                            if frame[0] != client.TAG:
                                self.assertEqual(frame[0], client.MSG, frame)
                                got.append(number(frame[2]))
                        self.assertEqual(got, list(range(flood.sent)))


class Accounting(broker.BrokerTest):
    schemes = ("tcp", "ws")

    def stalled(self, running, scheme, **options):
        subscriber = running.connect(scheme, receive_buffer=4096)
        self.addCleanup(subscriber.close)
        subscriber.subscribe("flood", **options)
        return subscriber

    def check_position(self, frames, reason):
        """Each message or gap continues exactly where the one before it ended. Returns (delivered, lost)."""
        expected, delivered, lost = 0, 0, 0
        for frame in frames:
            if frame[0] == client.GAP:
                self.assertEqual(frame[1], "flood")
                self.assertEqual(frame[3], reason)
                self.assertGreater(frame[2], 0)
                expected += frame[2]
                lost += frame[2]
            else:
                self.assertEqual(frame[0], client.MSG, frame[:2])
                self.assertEqual(number(frame[2]), expected)
                expected += 1
                delivered += 1
        return delivered, lost

    def flood_and_count(self, reason, **options):
        for scheme in self.schemes:
            with self.subTest(scheme):
                running = self.start()
                subscriber = self.stalled(running, scheme, **options)
                with running.connect() as publisher:
                    flood = Flood(publisher)
                    for _ in range(2):
                        sent = flood.send()
                        frames, counted = [], 0
                        while counted < sent:
                            frames.append(subscriber.next())
                            counted += frames[-1][2] if frames[-1][0] == client.GAP else 1
                        self.assertEqual(counted, sent, "more reported than matched")
                        yield self.rebased(frames, flood.sent - sent), reason
                        self.assertEqual(subscriber.fence(), [])

    def rebased(self, frames, first):
        return [[f[0], f[1], numbered(number(f[2]) - first, 10), *f[3:]] if f[0] == client.MSG else f for f in frames]

    def test_drop_oldest_keeps_the_newest_and_says_how_many_went(self):
        for frames, reason in self.flood_and_count("dropped_oldest", policy="drop_oldest", queue=20):
            _, lost = self.check_position(frames, reason)
            self.assertGreater(lost, 0)
            self.assertEqual(frames[-1][0], client.MSG, "the newest message is never the dropped one")
            self.assertGreaterEqual(len(frames), 20)

    def test_drop_newest_keeps_the_oldest_and_says_how_many_went(self):
        for frames, reason in self.flood_and_count("dropped_newest", policy="drop_newest", queue=20):
            _, lost = self.check_position(frames, reason)
            self.assertGreater(lost, 0)
            self.assertEqual(frames[-1][0], client.GAP, "what was refused last is reported last")

    def test_conflate_keeps_the_newest_of_the_topic(self):
        for frames, reason in self.flood_and_count("conflated", policy="conflate"):
            _, lost = self.check_position(frames, reason)
            self.assertGreater(lost, 0)
            self.assertEqual(frames[-1][0], client.MSG, "the last value always arrives")

    def test_disconnect_closes_the_subscriber_that_falls_behind(self):
        for scheme in self.schemes:
            with self.subTest(scheme):
                running = self.start()
                subscriber = self.stalled(running, scheme, policy="disconnect", queue=20)
                with running.connect() as publisher:
                    Flood(publisher).send()
                frames = subscriber.rest()
                self.assertEqual([number(f[2]) for f in frames if f[0] == client.MSG],
                                 list(range(len([f for f in frames if f[0] == client.MSG]))))
                if frames[-1][0] == client.BYE:  # it may not fit any more: the socket is full
                    self.assertEqual(frames[-1][1], "too_slow")

    def test_a_queue_that_was_never_full_loses_nothing(self):
        running = self.start()
        subscriber = self.stalled(running, "tcp", queue=10_000)
        with running.connect() as publisher:
            sent = Flood(publisher, size=200).send(9000)
        numbers = [number(subscriber.expect(client.MSG)[2]) for _ in range(sent)]
        self.assertEqual(numbers, list(range(sent)))
        self.assertEqual(subscriber.fence(), [])


class SeveralAtOnce(broker.BrokerTest):
    def test_conflate_keeps_the_newest_of_each_topic(self):
        running = self.start()
        topics = [f"series/{n}" for n in range(10)]
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("series/#", policy="conflate")
            sent = Flood(publisher, topics=topics).send()
            newest, tally = {}, client.Tally()
            while tally.delivered + tally.reported < sent:
                frame = subscriber.next()
                tally.add(frame)
                if frame[0] == client.MSG:
                    self.assertGreater(number(frame[2]), newest.get(frame[1], -1), "a topic never goes back")
                    newest[frame[1]] = number(frame[2])
            self.assertEqual(tally.delivered + tally.reported, sent)
            self.assertEqual(sorted(newest.values()), list(range(sent - 10, sent)))
            self.assertEqual(set(tally.lost), {"conflated"})

    def test_conflate_by_key_keeps_the_newest_of_each_key(self):
        running = self.start()
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("prices", policy="conflate")
            count = FLOOD_BYTES // 8192
            for n in range(count):
                publisher.publish_unanswered("prices", numbered(n, 8192), key=f"k{n % 5}")
            publisher.fence()
            newest, tally = {}, client.Tally()
            while tally.delivered + tally.reported < count:
                frame = subscriber.next()
                tally.add(frame)
                if frame[0] == client.MSG:
                    newest[frame[3]["key"]] = number(frame[2])
            self.assertEqual(tally.delivered + tally.reported, count)
            self.assertEqual(sorted(newest.values()), list(range(count - 5, count)))

    def test_conflate_with_more_topics_than_its_queue_loses_the_oldest_with_a_gap(self):
        running = self.start()
        topics = [f"series/{n}" for n in range(50)]
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("series/#", policy="conflate", queue=8)
            sent = Flood(publisher, topics=topics).send()
            tally = client.Tally().take_until(subscriber, sent)
            self.assertEqual(number(tally.payloads[-1]), sent - 1)
            self.assertEqual(subscriber.fence(), [])

    def test_two_subscriptions_of_one_connection_account_for_themselves(self):
        running = self.start()
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("a", policy="drop_oldest", queue=10)
            subscriber.subscribe("b", policy="drop_newest", queue=30)
            sent = Flood(publisher, topics=("a", "b")).send()
            per = {"a": client.Tally(), "b": client.Tally()}
            while sum(t.delivered + t.reported for t in per.values()) < sent:
                frame = subscriber.next()
                per[frame[1]].add(frame)
            for name, tally in per.items():
                self.assertEqual(tally.delivered + tally.reported, sent // 2, name)
            self.assertEqual(set(per["a"].lost), {"dropped_oldest"})
            self.assertEqual(set(per["b"].lost), {"dropped_newest"})

    def test_a_tagged_subscription_keeps_its_tags_in_front_through_a_stall(self):
        running = self.start()
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("flood", tag=9, queue=10)
            sent = Flood(publisher).send()
            tally, tagged = client.Tally(), False
            while tally.delivered + tally.reported < sent:
                frame = subscriber.next()
                if frame[0] == client.TAG:
                    self.assertFalse(tagged)
                    tagged = frame[1] == 9
                    continue
                if frame[0] == client.MSG:
                    self.assertTrue(tagged, "a message without its tag")
                    tagged = False
                tally.add(frame)
            self.assertEqual(tally.delivered + tally.reported, sent)

    def test_unsub_of_a_stalled_subscription_still_accounts_for_what_matched(self):
        running = self.start()
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("flood", queue=10)
            sent = Flood(publisher).send()
            request = subscriber.next_id()
            subscriber.send(client.UNSUB, request, "flood")
            tally = client.Tally()
            frame = None
            while frame != [client.OK, request]:
                frame = subscriber.next()
                tally.add(frame)
            for frame in subscriber.fence():
                tally.add(frame)
            self.assertEqual(tally.delivered + tally.reported, sent)


class Bystanders(broker.BrokerTest):
    def test_a_subscriber_that_never_reads_does_not_hold_up_the_others(self):
        running = self.start()
        with running.connect(receive_buffer=4096) as stuck, running.connect() as reader, running.connect() as publisher:
            stuck.subscribe("flood")
            reader.subscribe("flood", queue=100_000)
            flood = Flood(publisher)
            read = 0
            for _ in range(8):
                read += flood.send(400)
                while True:
                    frame = reader.expect(client.MSG)
                    if number(frame[2]) == read - 1:
                        break
            self.assertEqual(reader.fence(), [])

    def test_memory_stays_bounded_by_what_the_queues_may_hold(self):
        running = self.start({"delivery.queue_bytes": "1MiB"})
        stuck = [running.connect(receive_buffer=4096) for _ in range(8)]
        with running.connect() as publisher:
            for peer in stuck:
                peer.subscribe("flood")
            flood = Flood(publisher)
            flood.send()
            before = running.rss_bytes()
            flood.send()
            flood.send()
            growth = running.rss_bytes() - before
            if not broker.SANITIZED:  # a quarantine is not the broker's memory
                self.assertLess(growth, 16 * 1024 * 1024)
        for peer in stuck:
            client.Tally().take_until(peer, flood.sent)
            peer.close()

    def test_a_connection_that_never_reads_its_answers_stops_being_read(self):
        running = self.start()
        with running.dial(receive_buffer=4096) as peer, running.connect() as other:
            peer.greet()
            peer.stream.sock.setblocking(False)
            sent, refused = 0, False
            deadline = time.monotonic() + broker.DEADLINE_S
            pings = mp.frame(client.PING) * 10_000
            while sent < 200_000_000 and not refused and time.monotonic() < deadline:
                try:
                    sent += peer.stream.sock.send(pings)
                except BlockingIOError:
                    other.subscribe("x")  # a whole round trip on the same shard: time enough to read on
                    other.publish("x", b"y")
                    other.fence()
                    try:
                        sent += peer.stream.sock.send(pings)
                    except BlockingIOError:
                        refused = True
            self.assertTrue(refused or not running.running(), "the broker read without end")
            other.publish("x", b"y")


class MaxHz(broker.BrokerTest):
    def test_the_first_value_comes_at_once_and_the_last_one_always(self):
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme):
                running = self.start()
                with running.connect(scheme) as subscriber, running.connect() as publisher:
                    subscriber.subscribe("cpu", max_hz=5)
                    began = time.monotonic()
                    for n in range(100):
                        publisher.publish("cpu", b"%d" % n)
                    tally = client.Tally().take_until(subscriber, 100)
                    self.assertEqual(tally.payloads[0], b"0")
                    self.assertEqual(tally.payloads[-1], b"99")
                    self.assertEqual(set(tally.lost), {"max_hz"})
                    elapsed = time.monotonic() - began
                    self.assertLessEqual(tally.delivered, elapsed * 5 + 2)

    def test_the_rate_is_kept_per_topic(self):
        running = self.start()
        with running.connect() as subscriber, running.connect() as publisher:
            subscriber.subscribe("cpu/+", max_hz=2)
            for n in range(20):
                for core in range(4):
                    publisher.publish(f"cpu/{core}", b"%d" % n)
            tally, last = client.Tally(), {}
            while tally.delivered + tally.reported < 80:
                frame = subscriber.next()
                tally.add(frame)
                if frame[0] == client.MSG:
                    last[frame[1]] = frame[2]
            self.assertEqual(last, {f"cpu/{core}": b"19" for core in range(4)})

    def test_values_slower_than_the_rate_all_arrive(self):
        running = self.start()
        with running.connect() as subscriber, running.connect() as publisher:
            subscriber.subscribe("cpu", max_hz=50)
            for n in range(5):
                publisher.publish("cpu", b"%d" % n)
                subscriber.expect_msg("cpu", b"%d" % n)
                time.sleep(0.05)  # slower than the rate, which is what is tested
            self.assertEqual(subscriber.fence(), [])

    def test_the_trailing_value_outlives_its_publisher(self):
        running = self.start()
        with running.connect() as subscriber:
            subscriber.subscribe("cpu", max_hz=4)
            with running.connect() as publisher:
                publisher.publish("cpu", b"first")
                publisher.publish("cpu", b"lost")
                publisher.publish("cpu", b"last")
            self.assertEqual(client.Tally().take_until(subscriber, 3).payloads, [b"first", b"last"])


class Expiry(broker.BrokerTest):
    def test_messages_that_expire_while_they_wait_are_reported(self):
        running = self.start()
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("flood", queue=100_000, policy="drop_newest")
            for n in range(1500):
                publisher.publish_unanswered("flood", numbered(n, 8192), ttl_ms=50)
            publisher.fence()
            time.sleep(0.2)  # the messages' lifetime
            tally = client.Tally().take_until(subscriber, 1500)
            self.assertIn("expired", tally.lost)


class MemoryBound(broker.BrokerTest):
    def test_at_the_bound_the_fattest_goes_and_the_process_stays(self):
        running = self.start({"limits.memory": "24MiB", "delivery.queue_bytes": "16MiB"})
        with running.connect() as reader, running.connect() as publisher:
            reader.subscribe("small")
            stuck = [running.connect(receive_buffer=4096) for _ in range(4)]
            for n, peer in enumerate(stuck):
                peer.subscribe(f"flood/{n}", queue=1_000_000)
            flood = Flood(publisher, topics=[f"flood/{n}" for n in range(4)])
            flood.send(4 * FLOOD_BYTES // 8192)
            publisher.publish("small", b"x")
            reader.expect_msg("small", b"x")
            ended = 0
            for peer in stuck:
                try:
                    tally = client.Tally()
                    while tally.delivered + tally.reported < flood.sent // 4:
                        frame = peer.next()
                        if frame[0] == client.BYE:
                            self.assertIn(frame[1], ("overloaded", "too_slow"))
                        tally.add(frame)
                except client.Closed:
                    ended += 1
                peer.close()
            self.assertGreater(ended, 0, "nobody was closed at the memory bound")


if __name__ == "__main__":
    broker.main()
