"""Input that no good client sends. Each costs the sender its request or its connection, and nobody else anything: a
bystander on the same shard exchanges messages throughout, and the log stays short."""

import broker
import client
import mp


class BadInput(broker.BrokerTest):
    def setUp(self):
        self.broker = self.start({"session.hello_timeout": "500ms"})
        self.bystander = self.broker.connect()
        self.addCleanup(self.bystander.close)
        self.bystander.subscribe("bystander")

    def tearDown(self):
        self.bystander.publish("bystander", b"still here")
        self.bystander.expect_msg("bystander", b"still here")
        self.assertLess(len(self.broker.log()), 20000, "a peer's mistakes must not flood the log")

    def ends(self, raw, code, *, greeted=True):
        """These bytes end the connection with BYE `code`, over TCP and WebSocket."""
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme), self.broker.dial(scheme) as peer:
                if greeted:
                    peer.greet()
                peer.send_raw(raw)
                peer.expect_bye(code)

    def answered(self, code, *request):
        """This request is answered with ERR `code`, and the connection goes on."""
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme, request=repr(request)[:80]), self.broker.connect(scheme) as peer:
                peer.send(*request)
                peer.expect_error(code, request[1])
                self.assertEqual(peer.fence(), [])


class Malformed(BadInput):
    def test_bytes_that_are_no_frame_end_the_connection(self):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 16, b"\xff" * 16, b"\xce\x00\x00\x00\x00", b"\xc1" * 8):
            self.ends(garbage, "protocol_error")
            self.ends(garbage, "protocol_error", greeted=False)

    def test_a_frame_that_is_no_array_with_an_op_ends_the_connection(self):
        for body in (mp.pack({}), mp.pack(1), mp.pack("PUB"), mp.pack([]), mp.pack(["PUB"]), mp.pack([-1]), mp.pack([1.5]),
                     mp.pack([None]), b"\xc1", b"\x91"):
            self.ends(mp.framed(body), "protocol_error")

    def test_lengths_that_lie_end_the_connection(self):
        for body in (
                b"\x94\x04\x00\xa1a\xc6\xff\xff\xff\xff",  # a payload longer than its frame
                b"\x94\x04\x00\xdb\xff\xff\xff\xffa",      # a topic longer than its frame
                b"\xdd\xff\xff\xff\xff\x04",               # an array of four billion
                b"\x95\x04\x00\xa1a\xc4\x00\xdf\xff\xff\xff\xff",  # a map of four billion
                mp.pack([client.PUB, 0, "a", b"x"]) + b"\x00",      # a byte behind the frame's value
                mp.pack([client.PUB, 0, "a", b"x"])[:-1]):
            self.ends(mp.framed(body), "protocol_error")

    def test_too_few_or_too_many_elements_end_the_connection(self):
        for elements in ([client.SUB], [client.SUB, 1], [client.PUB, 0, "a"], [client.UNSUB, 1],
                         [client.PUB, 0, "a", b"", {}, 1], [client.PING, 1]):
            self.ends(mp.frame(*elements), "protocol_error")

    def test_elements_of_the_wrong_type_end_the_connection(self):
        for elements in ([client.SUB, "one", "a"], [client.SUB, 1, 5], [client.PUB, 1, ["a"], b""], [client.PUB, 1, "a", 5],
                         [client.PUB, -1, "a", b""], [client.PUB, 1, "a", b"", [1]], [client.SUB, 1, "a", {1: 2}]):
            self.ends(mp.frame(*elements), "protocol_error")

    def test_a_hundred_thousand_nested_arrays_cost_one_connection(self):
        deep = b"\x91" * 100_000 + b"\xc0"
        self.ends(mp.framed(deep), "protocol_error")
        self.ends(mp.framed(b"\x95\x04\x00\xa1a\xc4\x00\x81\xa1x" + deep), "protocol_error")
        self.ends(mp.framed(b"\x93\x01\x01\x81\xa1x" + b"\x91" * 3000 + b"\xc0"), "protocol_error", greeted=False)

    def test_a_map_nested_a_hundred_thousand_times_costs_one_connection(self):
        self.ends(mp.framed(b"\x94\x02\x01\xa1a\x81\xa1x" + b"\x81\xa1x" * 30_000 + b"\xc0"), "protocol_error")

    def test_what_came_before_the_malformed_frame_is_still_done(self):
        with self.broker.connect() as peer:
            peer.send_raw(mp.frame(client.PUB, 1, "bystander", b"before") + b"\x00\x00\x00\x00\x00")
            frames = peer.expect_bye("protocol_error")
            self.assertIn([client.OK, 1], frames)
        self.bystander.expect_msg("bystander", b"before")

    def test_a_frame_may_arrive_split_at_every_byte(self):
        wire = (mp.frame(client.SUB, 1, "split/#", {"queue": 9}) +
                mp.frame(client.PUB, 2, "split/x", b"payload", {"headers": [["a", "b"]]}) + mp.frame(client.PING))
        for scheme in ("tcp", "ws"):
            if scheme == "ws":
                continue  # a WebSocket message holds whole pairs; its own splitting has a test in test_websocket
            for at in range(1, len(wire)):
                with self.subTest(scheme, at=at), self.broker.connect(scheme) as peer:
                    peer.send_raw(wire[:at])
                    peer.send_raw(wire[at:])
                    peer.expect(client.OK, 1)
                    frames = [peer.next() for _ in range(3)]
                    self.assertIn([client.MSG, "split/x", b"payload", {"headers": [["a", "b"]]}], frames)
                    self.assertIn([client.OK, 2], frames)
                    self.assertIn([client.PONG], frames)

    def test_a_frame_may_arrive_one_byte_at_a_time(self):
        with self.broker.connect() as peer:
            for byte in mp.frame(client.SUB, 1, "slow") + mp.frame(client.PUB, 2, "slow", b"x") + mp.frame(client.PING):
                peer.send_raw(bytes([byte]))
            self.assertEqual([peer.next()[0] for _ in range(4)].count(client.MSG), 1)

    def test_a_connection_cut_inside_a_frame_leaves_nothing_behind(self):
        before = self.broker.open_fds()
        for _ in range(50):
            with self.broker.connect() as peer:
                peer.subscribe("cut/#")
                peer.send_raw(mp.frame(client.PUB, 1, "cut/x", b"y" * 1000)[:500])
        self.eventually(lambda: self.broker.open_fds() <= before, "descriptors of cut connections are closed")


class UnknownAndUnsupported(BadInput):
    def test_an_unknown_op_is_answered_and_the_connection_goes_on(self):
        for scheme in ("tcp", "ws"):
            for frame in ([200], [0], [4294967295, 1, 2], [63, "x"]):
                with self.subTest(scheme, frame=frame), self.broker.connect(scheme) as peer:
                    peer.send(*frame)
                    peer.expect_error("unknown_op", 0)
                    self.assertEqual(peer.fence(), [])

    def test_a_flood_of_unknown_ops_is_not_answered_one_by_one(self):
        with self.broker.connect() as peer:
            peer.send_raw(mp.frame(200) * 20_000)
            answers = peer.fence()
            self.assertGreaterEqual(len(answers), 1)
            self.assertLess(len(answers), 2000)

    def test_a_server_op_from_a_client_is_refused(self):
        with self.broker.connect() as peer:
            peer.send(client.MSG, "bystander", b"forged")
            frame = peer.next()
            self.assertIn(frame[0], (client.ERR, client.BYE))
        self.assertEqual(self.bystander.fence(), [])

    def test_requests_of_later_versions_are_unsupported(self):
        self.answered("unsupported", client.HISTORY, 5, "a", {"since": {"all": True}})
        self.answered("unsupported", client.PRESENCE, 6, "a", {})

    def test_ack_and_nack_are_unsupported(self):
        for frame in ([client.ACK, "a", "a", 1], [client.NACK, "a", "a", 1, 0]):
            with self.subTest(frame), self.broker.connect() as peer:
                peer.send(*frame)
                peer.expect_error("unsupported", 0)
                self.assertEqual(peer.fence(), [])

    def test_options_that_need_them_are_unsupported(self):
        for option in ({"since": {"all": True}}, {"ack": True}, {"cursor": "c"}, {"ack_wait_ms": 5}, {"in_flight": 5},
                       {"max_deliver": 5}, {"presence": "join"}):
            self.answered("unsupported", client.SUB, 3, "a", option)
        self.answered("unsupported", client.PUB, 3, "a", b"", {"dedup": "x"})

    def test_a_nil_option_counts_as_absent(self):
        with self.broker.connect() as peer:
            peer.subscribe("a", since=None, presence=None, policy=None)
            peer.publish("a", b"", retain=False, dedup=None)

    def test_a_refused_sub_subscribes_nothing(self):
        with self.broker.connect() as peer:
            with self.assertRaises(client.Denied):
                peer.subscribe("a", since={"all": True})
            peer.publish("a", b"x")
            self.assertEqual(peer.fence(), [])


class BadValues(BadInput):
    def test_topics_that_are_none_are_refused(self):
        for topic in ("", "a/+", "#", "a#", "tab\there", "nul\0", "del\x7f"):
            self.answered("bad_topic", client.PUB, 9, topic, b"x")

    def test_filters_that_are_none_are_refused(self):
        for topic_filter in ("", "a/#/b", "a+", "#a", "a/+b", "$share/g", "$share//a", "ctl\x01"):
            self.answered("bad_filter", client.SUB, 9, topic_filter)

    def test_invalid_utf8_is_refused(self):
        for text in (b"\xff", b"a/\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"cut\xe2\x82"):
            self.answered("bad_topic", client.PUB, 9, mp.Text(text), b"x")
            self.answered("bad_filter", client.SUB, 9, mp.Text(text))

    def test_options_of_a_wrong_type_or_value_are_refused(self):
        for option in ({"policy": "maybe"}, {"policy": 3}, {"queue": -1}, {"queue": "many"}, {"max_hz": -1},
                       {"max_hz": "fast"}, {"tag": "x"}, {"tag": -1}, {"max_hz": 5, "policy": "drop_oldest"},
                       {"max_hz": float("nan")}, {"max_hz": float("inf")}):
            self.answered("bad_option", client.SUB, 9, "a", option)
        for option in ({"ttl_ms": -1}, {"ttl_ms": "x"}, {"headers": {"a": "b"}}, {"headers": [["a"]]}, {"headers": [[1, 2]]},
                       {"key": 1}, {"correlation": 5}, {"content_type": 5}, {"format": 9}, {"reply": 5}, {"retain": 1}):
            self.answered("bad_option", client.PUB, 9, "a", b"", option)

    def test_block_is_denied_where_no_rule_grants_it(self):
        self.answered("denied", client.SUB, 9, "a", {"policy": "block"})

    def test_a_refused_publish_leaves_those_before_and_behind_it_whole(self):
        refused = {"bad_option": ("a", b"x", {"ttl_ms": -1}), "unsupported": ("a", b"x", {"dedup": "x"}),
                   "bad_topic": ("a/+", b"x"), "too_large": ("a", b"x" * ((1 << 20) + 1))}
        for code, publish in refused.items():
            with self.subTest(code), self.broker.connect() as subscriber, self.broker.connect() as publisher:
                subscriber.subscribe("a")
                good = b"".join(mp.frame(client.PUB, 0, "a", b"good") for _ in range(5))
                publisher.send_raw(good + mp.frame(client.PUB, 9, *publish) + good)
                publisher.expect_error(code, 9)
                self.assertEqual(publisher.fence(), [])
                self.assertEqual(subscriber.fence(), [[client.MSG, "a", b"good"]] * 10)

    def test_an_error_without_an_id_is_told_too_but_not_without_end(self):
        with self.broker.connect() as peer:
            peer.send(client.PUB, 0, "a/+", b"x")
            peer.expect_error("bad_topic", 0)
            peer.send_raw(mp.frame(client.PUB, 0, "a/+", b"x") * 20_000)
            self.assertLess(len(peer.fence()), 2000)


if __name__ == "__main__":
    broker.main()
