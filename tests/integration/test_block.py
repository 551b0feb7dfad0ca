"""Policy `block`: granted by topic rule, it holds the publisher back instead of losing messages."""

import os
import tempfile

import broker
import client
import mp

RULES = """
topics:
  - filter: jobs/#
    block: true
"""


def numbered(n):
    return b"%010d" % n + b"." * 8182


class Block(broker.BrokerTest):
    def start_with_rules(self, settings=None):
        file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        self.addCleanup(file.close)
        file.write(RULES)
        file.flush()
        return self.start(settings, arguments=("-c", file.name))

    def flood(self, publisher, count):
        """Publishes as fast as the broker reads, answers read along the way; returns the ids in answer order."""
        import threading

        def send():
            for n in range(count):
                publisher.send(client.PUB, n + 1, "jobs/1", numbered(n))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread

    def test_block_is_granted_on_topics_with_the_rule_only(self):
        running = self.start_with_rules()
        with running.connect() as peer:
            self.assertEqual(peer.subscribe("jobs/1", policy="block")["policy"], "block")
            for topic_filter in ("other", "#", "+/1"):
                with self.subTest(topic_filter), self.assertRaises(client.Denied) as denied:
                    peer.subscribe(topic_filter, policy="block")
                self.assertEqual(denied.exception.code, "denied")

    def test_a_slow_subscriber_holds_the_publisher_back_and_loses_nothing(self):
        running = self.start_with_rules()
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("jobs/#", policy="block", queue=10)
            sender = self.flood(publisher, 2000)
            sender.join(1.0)
            self.assertTrue(sender.is_alive(), "the publisher was never held back")
            for n in range(2000):
                frame = subscriber.expect(client.MSG, "jobs/1")
                self.assertEqual(int(frame[2][:10]), n)
            sender.join(broker.DEADLINE_S)
            answers = [publisher.expect(client.OK)[1] for _ in range(2000)]
            self.assertEqual(answers, list(range(1, 2001)))
            self.assertEqual(subscriber.fence(), [])

    def test_nobody_else_notices_a_blocked_publisher(self):
        running = self.start_with_rules()
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher, \
                running.connect() as other_publisher, running.connect() as other:
            subscriber.subscribe("jobs/#", policy="block", queue=10)
            other.subscribe("news")
            sender = self.flood(publisher, 2000)
            for n in range(200):
                other_publisher.publish("news", b"%d" % n)
                other.expect_msg("news", b"%d" % n)
            for _ in range(2000):
                subscriber.expect(client.MSG)
            sender.join(broker.DEADLINE_S)

    def test_a_blocked_publisher_is_exempt_from_keep_alive(self):
        running = self.start_with_rules({"delivery.block_timeout": "60s"})
        with running.connect(receive_buffer=4096) as subscriber, running.dial() as publisher:
            publisher.answer_pings = False
            publisher.greet(keepalive_s=1)
            subscriber.subscribe("jobs/#", policy="block", queue=10)
            sender = self.flood(publisher, 2000)
            sender.join(4.0)
            for _ in range(2000):
                subscriber.expect(client.MSG)
            sender.join(broker.DEADLINE_S)
            answers = [frame[1] for frame in iter(publisher.next, [client.OK, 2000]) if frame[0] == client.OK]
            self.assertEqual(len(answers), 1999)

    def test_a_subscription_to_its_own_publishes_cannot_deadlock(self):
        running = self.start_with_rules()
        with running.connect(receive_buffer=4096) as peer:
            peer.subscribe("jobs/#", policy="block", queue=4)
            sender = self.flood(peer, 1500)
            answered = delivered = lost = 0
            while answered < 1500 or delivered + lost < 1500:
                frame = peer.next()
                answered += frame[0] == client.OK
                delivered += frame[0] == client.MSG
                lost += frame[2] if frame[0] == client.GAP else 0
            sender.join(broker.DEADLINE_S)
            self.assertEqual((answered, delivered + lost), (1500, 1500))

    def test_a_subscriber_stuck_for_the_block_timeout_is_closed_as_too_slow(self):
        running = self.start_with_rules({"delivery.block_timeout": "300ms"})
        with running.connect(receive_buffer=4096) as subscriber, running.connect() as publisher:
            subscriber.subscribe("jobs/#", policy="block", queue=10)
            sender = self.flood(publisher, 2000)
            sender.join(broker.DEADLINE_S)
            self.assertFalse(sender.is_alive(), "the publisher is still held back")
            frames = subscriber.rest()
            if frames[-1][0] == client.BYE:
                self.assertEqual(frames[-1][1], "too_slow")
            for n in range(2000):
                publisher.expect(client.OK, n + 1)

    def test_a_blocking_subscriber_that_leaves_lets_the_publisher_go(self):
        running = self.start_with_rules()
        with running.connect() as publisher:
            subscriber = running.connect(receive_buffer=4096)
            subscriber.subscribe("jobs/#", policy="block", queue=10)
            sender = self.flood(publisher, 2000)
            sender.join(0.5)
            subscriber.close()
            sender.join(broker.DEADLINE_S)
            for n in range(2000):
                publisher.expect(client.OK, n + 1)


if __name__ == "__main__":
    broker.main()
