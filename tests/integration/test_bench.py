"""`sluice bench` against the broker, against the bare relay, and against servers that do wrong on purpose: what they do
must be found, or every figure it prints is worthless."""

import json
import os
import signal
import socketserver
import subprocess
import threading
import unittest

import broker
import client
import mp

SLUICE = os.environ.get("SLUICE_CLI", os.path.join(broker.ROOT, "build", "clients", "cli", "sluice"))
RELAY = os.path.join(os.path.dirname(SLUICE), "..", "..", "tests", "bench", "relay")
OK, FAILURE, USAGE = 0, 1, 2


def start(*arguments):
    return subprocess.Popen([SLUICE, "bench", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=broker.clean_environment())


def finish(process):
    """(exit code, standard output, standard error)"""
    try:
        return process.wait(broker.DEADLINE_S * 3), process.stdout.read(), process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


class Forger(socketserver.ThreadingTCPServer):
    """Speaks enough of sluice.v1 for one publisher and one subscriber. `forge` is given the how manieth message it is
    and the MSG that is due, and returns the frames to send in its place."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, forge):
        super().__init__(("127.0.0.1", 0), Forger.Visit)
        self.forge, self.count, self.subscriber = forge, 0, None
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"tcp://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    class Visit(socketserver.BaseRequestHandler):
        def handle(self):
            data = bytearray()
            while piece := self.receive():
                data += piece
                while found := mp.cut(data):
                    frame, used = found
                    del data[:used]
                    self.answer(frame)

        def receive(self):
            try:
                return self.request.recv(65536)
            except ConnectionError:
                return b""

        def answer(self, frame):
            if frame[0] == client.HELLO:
                self.request.sendall(mp.frame(client.WELCOME, "s", {}))
            elif frame[0] == client.SUB:
                self.server.subscriber = self.request
                self.request.sendall(mp.frame(client.OK, frame[1], {}))
            elif frame[0] == client.PUB:
                due = [client.MSG, frame[2], frame[3]]
                for forged in self.server.forge(self.server.count, due):
                    self.server.subscriber.sendall(mp.frame(*forged))
                self.server.count += 1


def replacing(number, *frames_for):
    """Honest but for one message, in whose place come the frames that the functions make of it."""
    return lambda count, due: [make(due) for make in frames_for] if count == number else [due]


def swapping(number):
    """The message comes behind the next one."""
    kept = []

    def forge(count, due):
        if count == number:
            kept.append(due)
            return []
        return [due, kept.pop()] if kept else [due]
    return forge


def same(due):
    return due


def damaged(due):
    return [due[0], due[1], due[2][:-1] + bytes([due[2][-1] ^ 1])]


def misdirected(due):
    return [due[0], due[1] + "x", due[2]]


def gap(due):
    return [client.GAP, due[1], 1, "dropped_oldest"]


class Judgement(unittest.TestCase):
    # name, forge, exit code, keys of `check` that are not what they would be
    FORGERIES = [
        ("honest", replacing(None), OK, {}),
        ("one is lost and reported", replacing(7, gap), OK, {"received": 19, "reported_lost": 1}),
        ("one is lost", replacing(7), FAILURE, {"received": 19, "missing": 1}),
        ("the last one is lost", replacing(19), FAILURE, {"received": 19, "missing": 1}),
        ("one comes twice", replacing(7, same, same), FAILURE, {"duplicated": 1}),
        ("two change places", swapping(7), FAILURE, {"reordered": 1}),
        ("one is damaged", replacing(7, damaged), FAILURE, {"received": 19, "missing": 1, "foreign": 1}),
        ("one has another topic", replacing(7, misdirected), FAILURE, {"received": 19, "missing": 1, "foreign": 1}),
        ("one is reported lost but comes", replacing(7, gap, same), FAILURE, {"reported_lost": 1, "overstated": 1}),
    ]

    def test_whatever_a_server_does_wrong_is_found(self):
        running = []
        for name, forge, code, differs in self.FORGERIES:
            server = self.enterContext(Forger(forge))
            running.append((name, code, differs, start("fanout", "--server", server.url, "--subs", "1", "--window", "4",
                                                       "--messages", "20", "--warmup", "0", "--json")))
        for name, code, differs, process in running:
            exit_code, stdout, stderr = finish(process)
            with self.subTest(name):
                found = json.loads(stdout)
                fair = {"good": code == OK, "expected": 20, "received": 20, "reported_lost": 0, "missing": 0,
                        "overstated": 0, "duplicated": 0, "reordered": 0, "foreign": 0}
                self.assertEqual(found["check"], {**fair, **differs})
                self.assertEqual(found["good"], code == OK)
                self.assertEqual(exit_code, code, stderr)

    def test_a_violation_is_printed(self):
        with Forger(replacing(7, same, same)) as server:
            exit_code, stdout, _ = finish(start("fanout", "--server", server.url, "--subs", "1", "--window", "4",
                                                "--messages", "20", "--warmup", "0"))
        self.assertEqual(exit_code, FAILURE)
        self.assertIn("WRONG", stdout)
        self.assertIn("1 twice", stdout)


class Scenarios(broker.BrokerTest):
    SHORT = ("--duration", "0.15", "--warmup", "0.05", "--json")
    LOADS = [("fanout", "--subs", "20"), ("fanout", "--subs", "5", "--window", "1"), ("fanout", "--size", "100000", "--subs", "2",
             "--window", "8"), ("pairs", "--pairs", "5"), ("fanin", "--pubs", "5"), ("many", "--pubs", "5", "--subs", "5"),
             ("latency", "--rate", "500", "--subs", "3")]
    FILTERS = [("subs", "--subs", "10", "--subscriptions", "400"),
               ("subs", "--subs", "10", "--subscriptions", "400", "--filters", "exact"),
               ("subs", "--subs", "10", "--subscriptions", "400", "--filters", "wildcard")]

    def run_bench(self, *arguments):
        exit_code, stdout, stderr = finish(start(*arguments, *self.SHORT))
        self.assertEqual(exit_code, OK, stdout + stderr)
        return json.loads(stdout)

    def check_load(self, arguments, url, pid):
        with self.subTest(arguments=arguments, url=url):
            found = self.run_bench(*arguments, "--server", url, "--pid", str(pid))
            self.assertTrue(found["good"])
            self.assertGreater(found["delivered"], 0)
            self.assertEqual(found["check"]["received"], found["check"]["expected"])
            self.assertGreater(found["cpu_ns"], 0)
            if arguments[0] == "latency":
                figures = [found["latency_us"][key] for key in ("p50", "p90", "p99", "p99_9", "max")]
                self.assertEqual(figures, sorted(figures))
                self.assertGreater(figures[0], 0)

    def check_visits(self, url, pid):
        with self.subTest(url=url):
            found = self.run_bench("churn", "--server", url, "--pid", str(pid))
            self.assertGreater(found["visits"], 0)
            found = self.run_bench("idle", "--conns", "50", "--server", url, "--pid", str(pid))
            self.assertEqual(found["connections"], 50)
            self.assertGreater(found["rss_after"], 0)

    def test_every_scenario_runs_against_the_broker_over_tcp_and_websocket(self):
        server = self.start()
        for scheme in "tcp", "ws":
            for arguments in self.LOADS + self.FILTERS:
                self.check_load(arguments, server.url(scheme), server.pid)
            self.check_visits(server.url(scheme), server.pid)

    def test_every_scenario_without_filters_runs_against_the_relay(self):
        relay = subprocess.Popen([RELAY], stdout=subprocess.PIPE, text=True)
        try:
            url = relay.stdout.readline().split()[1]
            for arguments in self.LOADS:
                self.check_load(arguments, url, relay.pid)
            self.check_visits(url, relay.pid)
        finally:
            relay.send_signal(signal.SIGTERM)
            relay.wait()
            relay.stdout.close()

    def test_readers_beside_a_stalled_one_lose_nothing(self):
        server = self.start()
        self.check_load(("latency", "--rate", "500", "--subs", "3", "--stalled", "2"), server.url("tcp"), server.pid)

    def test_so_many_messages_and_no_more_are_measured(self):
        server = self.start()
        for arguments in (("many", "--pubs", "7", "--subs", "3"), ("latency", "--subs", "3")):
            found = self.run_bench(*arguments, "--messages", "500", "--server", server.url("tcp"))
            self.assertEqual((found["published"], found["delivered"]), (500, 1500))

    def test_wrong_usage_is_explained(self):
        for arguments, says in ((("fan",), "no scenario"), ((), "which scenario"), (("fanout", "--size", "8"), "--size"),
                                (("idle",), "--pid"), (("subs", "--filters", "some"), "--filters"),
                                (("subs", "--server", "relay://127.0.0.1:1"), "no filters"),
                                (("fanout", "--server", "mqtt://127.0.0.1"), "must start with"),
                                (("many", "--size", "40000", "--server", "relay://127.0.0.1:1"), "--size")):
            with self.subTest(arguments=arguments):
                exit_code, stdout, stderr = finish(start(*arguments))
                self.assertEqual((exit_code, stdout), (USAGE, ""))
                self.assertIn(says, stderr)


if __name__ == "__main__":
    broker.main()
