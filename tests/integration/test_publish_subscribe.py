"""Publishing and subscribing: which messages arrive, how often, in which order, on either transport."""

import broker
import client
import mp


class Routing(broker.BrokerTest):
    def setUp(self):
        self.broker = self.start()

    def received(self, subscriber, publisher, topics):
        """Publishes one message per topic; the topics that came back, in order."""
        for topic in topics:
            publisher.publish(topic, b"x")
        return [frame[1] for frame in subscriber.fence() if frame[0] == client.MSG]

    def test_a_message_reaches_every_subscriber_of_its_topic_and_nobody_else(self):
        with self.broker.connect() as publisher, self.broker.connect() as one, self.broker.connect("ws") as two, \
                self.broker.connect() as other:
            one.subscribe("room/1")
            two.subscribe("room/1")
            other.subscribe("room/2")
            publisher.publish("room/1", b"hello")
            one.expect_msg("room/1", b"hello")
            two.expect_msg("room/1", b"hello")
            self.assertEqual(other.fence(), [])

    def test_every_pair_of_transports_exchanges_messages(self):
        for source in ("tcp", "ws"):
            for target in ("tcp", "ws"):
                with self.subTest(f"{source} to {target}"), self.broker.connect(source) as publisher, \
                        self.broker.connect(target) as subscriber:
                    subscriber.subscribe("pair")
                    publisher.publish("pair", b"payload")
                    subscriber.expect_msg("pair", b"payload")

    def test_wildcards_follow_the_rules_of_mqtt(self):
        topics = ["a", "a/b", "a/b/c", "/a", "a/", "a//c", "b/b", "$SYS/x", "a/$x"]
        expected = {
            "#": ["a", "a/b", "a/b/c", "/a", "a/", "a//c", "b/b", "a/$x"],
            "+": ["a"],
            "a/+": ["a/b", "a/", "a/$x"],
            "a/#": ["a", "a/b", "a/b/c", "a/", "a//c", "a/$x"],
            "+/b": ["a/b", "b/b"],
            "a/+/c": ["a/b/c", "a//c"],
            "+/+": ["a/b", "/a", "a/", "b/b", "a/$x"],
            "/+": ["/a"],
        }
        with self.broker.connect() as publisher:
            publishable = [topic for topic in topics if not topic.startswith("$")]
            for topic_filter, matching in expected.items():
                with self.subTest(topic_filter), self.broker.connect() as subscriber:
                    subscriber.subscribe(topic_filter)
                    self.assertEqual(self.received(subscriber, publisher, publishable), matching)

    def test_a_publisher_receives_its_own_message_when_subscribed(self):
        with self.broker.connect() as peer:
            peer.subscribe("self")
            peer.publish("self", b"1")
            self.assertEqual(peer.fence(), [[client.MSG, "self", b"1"]])

    def test_messages_of_one_publisher_arrive_in_order(self):
        with self.broker.connect() as publisher, self.broker.connect("ws") as subscriber:
            subscriber.subscribe("n/#", queue=5000)
            publisher.send_raw(b"".join(mp.frame(client.PUB, 0, f"n/{n % 3}", str(n).encode()) for n in range(3000)))
            publisher.fence()
            numbers = [int(subscriber.expect(client.MSG)[2]) for _ in range(3000)]
            self.assertEqual(numbers, list(range(3000)))

    def test_topics_are_compared_byte_by_byte(self):
        with self.broker.connect() as peer:
            peer.subscribe("Grüße/✓")
            peer.publish("Grüße/✓", b"1")
            peer.publish("grüße/✓", b"2")
            peer.publish("Gru\u0308ße/✓", b"3")
            self.assertEqual(peer.fence(), [[client.MSG, "Grüße/✓", b"1"]])

    def test_a_str_payload_arrives_as_its_bytes(self):
        with self.broker.connect() as peer:
            peer.subscribe("a")
            peer.publish("a", "text ✓")
            self.assertEqual(peer.fence(), [[client.MSG, "a", "text ✓".encode()]])

    def test_an_empty_payload_is_a_message(self):
        with self.broker.connect() as peer:
            peer.subscribe("a")
            peer.publish("a", b"")
            self.assertEqual(peer.fence(), [[client.MSG, "a", b""]])

    def test_a_payload_of_the_full_megabyte_arrives_whole(self):
        payload = bytes(range(256)) * 4096
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme), self.broker.connect(scheme) as publisher, self.broker.connect(scheme) as subscriber:
                subscriber.subscribe("big")
                publisher.publish("big", payload)
                subscriber.expect_msg("big", payload)

    def test_a_publish_with_id_zero_is_not_answered(self):
        with self.broker.connect() as peer:
            peer.publish_unanswered("nobody", b"x")
            self.assertEqual(peer.fence(), [])


class Meta(broker.BrokerTest):
    def setUp(self):
        self.broker = self.start()

    def meta(self, **options):
        with self.broker.connect() as peer:
            peer.subscribe("a")
            peer.publish("a", b"x", **options)
            (frame,) = peer.fence()
            return frame[3] if len(frame) > 3 else None

    def test_a_plain_message_has_no_meta(self):
        self.assertIsNone(self.meta())

    def test_what_the_publisher_said_about_a_message_comes_with_it(self):
        self.assertEqual(self.meta(content_type="application/json"), {"content_type": "application/json"})
        self.assertEqual(self.meta(correlation=b"\x00\x01", reply="answers/1"),
                         {"correlation": b"\x00\x01", "reply": "answers/1"})
        self.assertEqual(self.meta(format=1), {"format": 1})
        self.assertIn(self.meta(key="k")["key"], ("k", b"k"))

    def test_headers_keep_their_order_and_their_repeats(self):
        headers = [["b", "1"], ["a", "2"], ["b", "3"], ["", ""]]
        self.assertEqual(self.meta(headers=headers), {"headers": headers})

    def test_unknown_publish_options_are_ignored(self):
        self.assertIsNone(self.meta(sparkles=True))

    def test_a_message_with_a_ttl_says_when_it_was_published(self):
        meta = self.meta(ttl_ms=60000)
        self.assertEqual(meta["ttl_ms"], 60000)
        self.assertGreater(meta["ts_ms"], 1_500_000_000_000)


class Subscriptions(broker.BrokerTest):
    def setUp(self):
        self.broker = self.start()

    def test_ok_to_sub_says_what_was_granted(self):
        with self.broker.connect() as peer:
            granted = peer.subscribe("a")
            self.assertEqual((granted["policy"], granted["queue"]), ("drop_oldest", 1024))
            granted = peer.subscribe("b", policy="drop_newest", queue=7, tag=3)
            self.assertEqual((granted["policy"], granted["queue"], granted["tag"]), ("drop_newest", 7, 3))
            granted = peer.subscribe("c", max_hz=5)
            self.assertEqual((granted["policy"], granted["max_hz"]), ("conflate", 5))

    def test_unknown_sub_options_are_ignored_and_not_echoed(self):
        with self.broker.connect() as peer:
            self.assertNotIn("colour", peer.subscribe("a", colour="red"))

    def test_overlapping_filters_give_one_copy_per_connection(self):
        with self.broker.connect() as peer:
            for topic_filter in ("a/b", "a/+", "#", "a/#"):
                peer.subscribe(topic_filter)
            peer.publish("a/b", b"1")
            self.assertEqual(peer.fence(), [[client.MSG, "a/b", b"1"]])

    def test_a_tagged_subscription_gets_copies_of_its_own_each_behind_its_tag(self):
        with self.broker.connect() as peer:
            peer.subscribe("a/#")
            peer.subscribe("a/+", tag=7)
            peer.subscribe("a/b", tag=8)
            peer.publish("a/b", b"1")
            frames = peer.fence()
            copies, tag = [], None
            for frame in frames:
                if frame[0] == client.TAG:
                    tag = frame[1]
                else:
                    self.assertEqual(frame, [client.MSG, "a/b", b"1"])
                    copies.append(tag)
                    tag = None
            self.assertCountEqual(copies, [None, 7, 8])

    def test_a_second_sub_of_a_filter_replaces_the_first(self):
        with self.broker.connect() as peer:
            peer.subscribe("a", tag=1)
            peer.subscribe("a", tag=2)
            peer.publish("a", b"1")
            self.assertEqual(peer.fence(), [[client.TAG, 2], [client.MSG, "a", b"1"]])
            peer.subscribe("a")
            peer.publish("a", b"2")
            self.assertEqual(peer.fence(), [[client.MSG, "a", b"2"]])

    def test_what_a_replaced_sub_holds_back_comes_before_the_ok_of_the_new_one(self):
        with self.broker.connect() as peer:
            peer.subscribe("a", max_hz=0.1)
            peer.publish("a", b"1")
            peer.publish("a", b"2")
            self.assertEqual(peer.fence(), [[client.MSG, "a", b"1"]])
            number = peer.next_id()
            peer.send(client.SUB, number, "a", {})
            self.assertEqual(peer.next(), [client.MSG, "a", b"2"])
            peer.expect(client.OK, number)

    def test_nothing_more_comes_after_unsub_is_answered(self):
        with self.broker.connect() as peer, self.broker.connect() as publisher:
            peer.subscribe("a/+")
            peer.subscribe("a/b")
            peer.unsubscribe("a/+")
            publisher.publish("a/c", b"1")
            publisher.publish("a/b", b"2")
            self.assertEqual(peer.fence(), [[client.MSG, "a/b", b"2"]])
            peer.unsubscribe("a/b")
            publisher.publish("a/b", b"3")
            self.assertEqual(peer.fence(), [])

    def test_unsub_of_what_was_not_subscribed_is_an_error(self):
        with self.broker.connect() as peer:
            with self.assertRaises(client.Denied) as denied:
                peer.unsubscribe("never")
            self.assertEqual(denied.exception.code, "not_subscribed")

    def test_subscribing_again_and_again_leaves_one_subscription(self):
        with self.broker.connect() as peer:
            for _ in range(500):
                peer.subscribe("x/+")
                peer.publish("x/1", b"1")
                self.assertEqual(len(peer.fence()), 1)
                peer.unsubscribe("x/+")

    def test_a_connection_that_leaves_takes_its_subscriptions_along(self):
        with self.broker.connect() as stayer:
            for _ in range(20):
                with self.broker.connect() as leaver:
                    leaver.subscribe("a/#")
                stayer.publish("a/1", b"x")
            with self.broker.connect() as asker:
                self.eventually(lambda: self.nobody_answers(asker), "the interest of closed connections is gone")

    def nobody_answers(self, asker):
        try:
            asker.publish("a/1", b"?", reply="answers")
            return False
        except client.Denied as denied:
            return denied.code == "no_responders"


class RequestReply(broker.BrokerTest):
    def setUp(self):
        self.broker = self.start()

    def test_a_request_is_answered_on_its_reply_topic(self):
        with self.broker.connect() as asker, self.broker.connect("ws") as responder:
            responder.subscribe("service/double")
            asker.subscribe("_inbox/7/#")
            asker.publish("service/double", b"21", reply="_inbox/7/1", correlation=b"c1")
            request = responder.expect_msg("service/double", b"21")
            meta = request[3]
            responder.publish(meta["reply"], b"42", correlation=meta["correlation"])
            answer = asker.expect_msg("_inbox/7/1", b"42")
            self.assertEqual(answer[3]["correlation"], b"c1")

    def test_a_request_that_nobody_can_answer_is_told_so_at_once(self):
        with self.broker.connect() as asker:
            with self.assertRaises(client.Denied) as denied:
                asker.publish("service/none", b"?", reply="_inbox/1")
            self.assertEqual(denied.exception.code, "no_responders")

    def test_a_publish_without_reply_to_nobody_is_fine(self):
        with self.broker.connect() as peer:
            peer.publish("service/none", b"!")

    def test_a_reply_that_is_no_topic_is_refused(self):
        with self.broker.connect() as peer:
            peer.subscribe("s")
            with self.assertRaises(client.Denied) as denied:
                peer.publish("s", b"", reply="a/+/b")
            self.assertIn(denied.exception.code, ("bad_topic", "bad_option"))


if __name__ == "__main__":
    broker.main()
