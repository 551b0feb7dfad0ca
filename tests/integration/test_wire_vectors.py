"""tests/wire/vectors.json against the broker: each request is taken, answered with its code, or ends its connection."""

import json
import os

import broker
import client

VECTORS = os.path.join(broker.ROOT, "tests", "wire", "vectors.json")


class WireVectors(broker.BrokerTest):
    def setUp(self):
        self.broker = self.start()
        with open(VECTORS, encoding="utf-8") as file:
            self.requests = [vector for vector in json.load(file) if vector["kind"] == "request"]

    def peer(self, scheme, vector):
        """A connection that may send the vector next: HELLO is the first frame or none."""
        peer = self.broker.dial(scheme)
        if not vector["name"].startswith("hello"):
            peer.greet()
        return peer

    def replay(self, scheme, vector):
        with self.peer(scheme, vector) as peer:
            peer.send_raw(bytes.fromhex(vector["hex"]))
            greeting = vector["name"].startswith("hello")
            if vector["valid"]:
                if greeting:
                    peer.expect(client.WELCOME)
                codes = [frame[2] for frame in peer.fence() if frame[0] == client.ERR]
                self.assertIn(codes, ([], ["denied"], ["not_subscribed"], ["no_responders"]))
            elif vector["error"] == "protocol_error" or greeting:
                peer.expect_bye(vector["error"])
            else:
                errors = [frame[2] for frame in peer.fence() if frame[0] == client.ERR]
                self.assertEqual(errors, [vector["error"]])

    def test_every_request_is_taken_or_refused_as_the_vectors_say(self):
        self.assertGreater(len(self.requests), 80)
        for vector in self.requests:
            for scheme in ("tcp", "ws"):
                with self.subTest(vector["name"], scheme=scheme):
                    self.replay(scheme, vector)


if __name__ == "__main__":
    broker.main()
