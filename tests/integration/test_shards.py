"""Several shards: what is true across them. These also run under ThreadSanitizer."""

import threading

import broker
import client
import mp

SHARDS = 3


class Shards(broker.BrokerTest):
    """Which shard a connection lands on is the kernel's choice, so tests use enough of them to cover all."""

    def setUp(self):
        self.broker = self.start(shards=SHARDS)

    def crowd(self, count, scheme=None):
        peers = [self.broker.connect(scheme or ("ws" if n % 3 == 2 else "tcp")) for n in range(count)]
        for peer in peers:
            self.addCleanup(peer.close)
        return peers

    def test_a_message_reaches_subscribers_on_every_shard_once(self):
        peers = self.crowd(24)
        for peer in peers:
            peer.subscribe("all/#", queue=100)
        for n, publisher in enumerate(peers):
            publisher.publish(f"all/{n}", b"x")
        for peer in peers:
            topics = sorted(int(peer.expect(client.MSG)[1][4:]) for _ in peers)
            self.assertEqual(topics, list(range(len(peers))))
        for peer in peers:
            self.assertEqual(peer.fence(), [])

    def test_ok_to_sub_means_every_shard_knows(self):
        publishers = self.crowd(12)
        for n in range(60):
            with self.broker.connect() as subscriber:
                subscriber.subscribe(f"fresh/{n}" if n % 2 else f"fresh/{n}/+")
                topic = f"fresh/{n}" if n % 2 else f"fresh/{n}/x"
                publishers[n % len(publishers)].publish(topic, b"now")
                subscriber.expect_msg(topic, b"now")

    def test_no_responders_is_decided_on_all_shards(self):
        askers = self.crowd(12)
        with self.broker.connect() as responder:
            responder.subscribe("service/one")
            for asker in askers:
                asker.publish("service/one", b"?", reply="answers")
                responder.expect_msg("service/one", b"?")
                with self.assertRaises(client.Denied) as denied:
                    asker.publish("service/none", b"?", reply="answers")
                self.assertEqual(denied.exception.code, "no_responders")
            responder.unsubscribe("service/one")
            for asker in askers:
                self.eventually(lambda asker=asker: self.nobody(asker, "service/one"), "the interest is gone on every shard")

    def nobody(self, asker, topic):
        try:
            asker.publish(topic, b"?", reply="answers")
            return False
        except client.Denied:
            return True

    def test_the_order_of_a_publisher_survives_the_crossing(self):
        subscribers, publishers = self.crowd(6), self.crowd(6)
        count = 400
        for peer in subscribers:
            peer.subscribe("order/#", queue=len(publishers) * count * 2)
        threads = []
        for number, publisher in enumerate(publishers):
            wire = b"".join(mp.frame(client.PUB, 0, f"order/{n % 2}", b"%d:%d" % (number, n)) for n in range(count))
            threads.append(threading.Thread(target=publisher.send_raw, args=(wire,)))
        for thread in threads:
            thread.start()
        for peer in subscribers:
            newest = {}
            for _ in range(len(publishers) * count):
                frame = peer.expect(client.MSG)
                number, n = map(int, frame[2].split(b":"))
                self.assertEqual(n, newest.get((number, frame[1]), n % 2 - 2) + 2, f"publisher {number} on {frame[1]}")
                newest[number, frame[1]] = n
        for thread in threads:
            thread.join()

    def test_a_slow_subscriber_on_another_shard_is_accounted_for(self):
        for _ in range(4):
            with self.broker.connect(receive_buffer=4096) as subscriber, self.broker.connect() as publisher:
                subscriber.subscribe("far", queue=16)
                count = 1200
                for n in range(count):
                    publisher.publish_unanswered("far", b"%d" % n + b"." * 8000)
                publisher.fence()
                client.Tally().take_until(subscriber, count)

    def test_churn_on_all_shards_leaves_nothing_behind(self):
        before = self.broker.open_fds()

        def churn(seed):
            for n in range(25):
                with self.broker.connect("ws" if n % 4 == 0 else "tcp") as peer:
                    peer.subscribe(f"churn/{seed}/+")
                    peer.subscribe("churn/#", tag=1)
                    peer.publish(f"churn/{seed}/{n}", b"x" * (n * 37))
                    if n % 2:
                        peer.unsubscribe("churn/#")

        threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.eventually(lambda: self.broker.open_fds() <= before + 1, "descriptors are closed")
        with self.broker.connect() as peer:
            self.eventually(lambda: self.nobody(peer, "churn/0/1"), "interest is gone")

    def test_the_drain_ends_every_shard(self):
        peers = self.crowd(12)
        for peer in peers:
            peer.subscribe("#")
        import signal
        self.broker.signal(signal.SIGTERM)
        for peer in peers:
            peer.expect_bye("shutting_down")
        self.assertEqual(self.broker.wait(), 0)

    def test_a_flood_across_shards_is_held_back_not_dropped_silently(self):
        subscribers = self.crowd(6, "tcp")
        for peer in subscribers:
            peer.subscribe("flood", queue=50)
        count = 3000

        def publish(publisher):
            for start in range(0, count, 50):
                publisher.send_raw(mp.frame(client.PUB, 0, "flood", b"." * 4000) * 50)
            publisher.fence()

        publishers = self.crowd(3, "tcp")
        senders = [threading.Thread(target=publish, args=(publisher,)) for publisher in publishers]
        readers = [threading.Thread(target=client.Tally().take_until, args=(peer, count * 3)) for peer in subscribers]
        for thread in senders + readers:
            thread.start()
        for thread in senders + readers:
            thread.join()
        for peer in subscribers:
            self.assertEqual(peer.fence(), [])


if __name__ == "__main__":
    broker.main()
