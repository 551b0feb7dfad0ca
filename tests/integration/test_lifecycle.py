"""Start, drain and stop; and what an operator's signals do."""

import os
import re
import signal
import socket
import tempfile
import time

import broker
import client
import mp


class Start(broker.BrokerTest):
    def test_each_listener_is_told_with_its_real_port_before_ready(self):
        running = self.start(listen=("tcp://127.0.0.1:0", "ws://127.0.0.1:0", "tcp://127.0.0.1:0"))
        self.assertEqual([url.split(":")[0] for url in running.urls], ["tcp", "ws", "tcp"])
        ports = [int(url.rsplit(":", 1)[1]) for url in running.urls]
        self.assertEqual(len(set(ports)), 3)
        self.assertNotIn(0, ports)

    def test_ipv6_and_host_names_can_be_listened_on(self):
        running = self.start(listen=("tcp://[::1]:0", "ws://localhost:0"))
        with running.connect("tcp") as peer:
            self.assertEqual(peer.fence(), [])
        with running.connect("ws") as peer:
            self.assertEqual(peer.fence(), [])

    def test_a_busy_port_is_named_and_ends_the_start(self):
        first = self.start()
        for scheme in ("tcp", "ws"):
            with self.subTest(scheme):
                done = broker.sluiced("--listen", first.url(scheme))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("127.0.0.1:%d" % first.address(scheme)[1], done.stderr)
                self.assertIn("in use", done.stderr)
                self.assertNotIn("ready", done.stdout)
        with first.connect() as peer:
            self.assertEqual(peer.fence(), [])

    def test_a_foreign_address_is_refused_without_authentication(self):
        for url in ("tcp://0.0.0.0:0", "ws://0.0.0.0:0", "tcp://[::]:0"):
            with self.subTest(url):
                done = broker.sluiced("--listen", url)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("auth.allow_anonymous", done.stderr)

    def test_a_foreign_address_is_served_once_anonymous_access_is_allowed(self):
        running = self.start({"auth.allow_anonymous": "true"}, listen=("tcp://0.0.0.0:0",))
        port = running.address("tcp")[1]
        peer = client.dial("tcp", ("127.0.0.1", port), broker.DEADLINE_S)
        with peer:
            peer.greet()

    def test_a_listen_url_that_is_none_is_bad_usage(self):
        for url in ("127.0.0.1:7400", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "gopher://127.0.0.1:0", "tcp://:x"):
            with self.subTest(url):
                done = broker.sluiced("--listen", url)
                self.assertEqual(done.returncode, 2, done.stderr)

    def test_start_to_ready_is_quick(self):
        if broker.SANITIZED:
            self.skipTest("sanitizers start slowly")
        times = []
        for _ in range(5):
            began = time.monotonic()
            broker.Broker().stop()
            times.append(time.monotonic() - began)
        self.assertLess(min(times), 0.5)


class Drain(broker.BrokerTest):
    def test_term_says_goodbye_to_everybody_and_ends_with_0(self):
        running = self.start({"session.drain_window": "400ms"})
        peers = [running.connect("ws" if n % 2 else "tcp") for n in range(10)]
        running.signal(signal.SIGTERM)
        waits = []
        for peer in peers:
            frame = peer.rest()[-1]
            self.assertEqual(frame[:2], [client.BYE, "shutting_down"])
            waits.append(frame[3])
            peer.close()
        self.assertTrue(all(0 <= wait <= 60_000 for wait in waits), waits)
        self.assertGreater(len(set(waits)), 1, "reconnects are spread at random")
        self.assertEqual(running.wait(), 0)

    def test_a_websocket_is_closed_properly_on_term(self):
        running = self.start({"session.drain_window": "400ms"})
        with running.connect("ws") as peer:
            running.signal(signal.SIGTERM)
            peer.expect_bye("shutting_down")
            self.assertIn(peer.stream.close_code, (1000, 1001, 1012))

    def test_int_drains_too(self):
        running = self.start()
        with running.connect() as peer:
            running.signal(signal.SIGINT)
            peer.expect_bye("shutting_down")
        self.assertEqual(running.wait(), 0)

    def test_what_was_accepted_is_delivered_before_the_end(self):
        running = self.start({"session.drain_window": "2s"})
        with running.connect() as subscriber, running.connect() as publisher:
            subscriber.subscribe("a", queue=10_000)
            publisher.send_raw(b"".join(mp.frame(client.PUB, 0, "a", b"%d" % n + b"." * 1000) for n in range(3000)))
            publisher.fence()
            running.signal(signal.SIGTERM)
            frames = subscriber.expect_bye("shutting_down")
            self.assertEqual([int(f[2].rstrip(b".")) for f in frames if f[0] == client.MSG], list(range(3000)))

    def test_new_connections_are_refused_while_it_drains(self):
        running = self.start({"session.drain_window": "30s"})
        address = running.address("tcp")
        stuck = running.connect(receive_buffer=4096)
        stuck.subscribe("a", queue=100_000)
        with running.connect() as publisher:
            for _ in range(3000):
                publisher.publish_unanswered("a", b"x" * 8192)
            publisher.fence()
            running.signal(signal.SIGTERM)
            publisher.expect_bye("shutting_down")
        def refused():
            try:
                socket.create_connection(address, 1).close()
                return False
            except OSError:
                return True
        self.eventually(refused, "the listener is closed")
        self.assertTrue(running.running())
        began = time.monotonic()
        running.signal(signal.SIGTERM)
        running.expected_exit = running.wait()
        self.assertLess(time.monotonic() - began, 10, "a second TERM stops at once")
        stuck.close()

    def test_term_at_any_moment_of_the_end_ends_with_0(self):
        for _ in range(20):
            running = self.start()
            while running.running():
                running.signal(signal.SIGTERM)
            self.assertEqual(running.wait(), 0)

    def test_a_client_that_does_not_read_cannot_hold_up_the_drain(self):
        running = self.start({"session.drain_window": "500ms"})
        stuck = running.connect(receive_buffer=4096)
        stuck.subscribe("a", queue=100_000)
        with running.connect() as publisher:
            for _ in range(3000):
                publisher.publish_unanswered("a", b"x" * 8192)
            publisher.fence()
        began = time.monotonic()
        running.stop()
        self.assertLess(time.monotonic() - began, 15)
        stuck.close()

    def test_a_half_open_handshake_does_not_hold_up_the_drain(self):
        running = self.start({"session.drain_window": "500ms"})
        with socket.create_connection(running.address("ws")) as half, socket.create_connection(running.address("tcp")):
            half.sendall(b"GET / HTTP/1.1\r\n")
            with running.connect("ws") as other:
                other.fence()
            began = time.monotonic()
            running.stop()
            self.assertLess(time.monotonic() - began, 15)


class Signals(broker.BrokerTest):
    def config_file(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
        self.addCleanup(file.close)
        file.write(text)
        file.flush()
        return file

    def rewrite(self, file, text):
        file.seek(0)
        file.truncate()
        file.write(text)
        file.flush()

    def test_hup_applies_what_is_reloadable(self):
        file = self.config_file("log:\n  level: error\n")
        running = self.start(arguments=("-c", file.name))
        with running.dial() as peer:
            peer.send_raw(b"\x00" * 8)
            peer.rest()
        self.assertEqual(running.log(), "")
        self.rewrite(file, "log:\n  level: debug\n")
        running.signal(signal.SIGHUP)
        running.await_log(r"reload")
        with running.dial() as peer:
            peer.send_raw(b"\x00" * 8)
            peer.rest()
            running.await_log(r"protocol_error")

    def test_hup_says_what_takes_a_restart(self):
        file = self.config_file("limits:\n  max_payload: 1KiB\n")
        running = self.start(arguments=("-c", file.name))
        self.rewrite(file, "limits:\n  max_payload: 2KiB\n")
        running.signal(signal.SIGHUP)
        running.await_log(r"limits\.max_payload")
        with running.dial() as peer:
            peer.greet()
            self.assertEqual(peer.welcome[2]["max_payload"], 1024)

    def test_hup_with_a_bad_file_keeps_the_old_configuration_and_says_so(self):
        file = self.config_file("log:\n  level: info\n")
        running = self.start(arguments=("-c", file.name))
        self.rewrite(file, "log:\n  level: error\n  levle: debug\n")
        running.signal(signal.SIGHUP)
        running.await_log(r":3")
        running.await_log(r"levle")
        running.signal(signal.SIGUSR2)
        running.await_log(r"connections=0\b")

    def test_hup_without_a_file_changes_nothing(self):
        running = self.start()
        running.signal(signal.SIGHUP)
        with running.connect() as peer:
            self.assertEqual(peer.fence(), [])

    def test_usr1_reopens_the_log_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sluiced.log")
            running = self.start({"log.file": path})
            with running.connect():
                pass
            os.rename(path, path + ".1")
            running.signal(signal.SIGUSR1)
            self.eventually(lambda: os.path.exists(path), "the log is opened again under its name")
            running.signal(signal.SIGUSR2)
            self.eventually(lambda: os.path.getsize(path) > 0, "and written to")
            running.stop()

    def test_usr2_dumps_the_state_to_the_log(self):
        running = self.start()
        with running.connect() as peer:
            peer.subscribe("a")
            running.signal(signal.SIGUSR2)
            running.await_log(r"connections=1\b")
            self.assertEqual(peer.fence(), [])

    def test_logs_can_be_json_lines(self):
        import json
        running = self.start({"log.format": "json", "log.level": "debug"})
        with running.dial() as peer:
            peer.send_raw(b"\x00" * 10)
            peer.rest()
        running.stop()
        lines = [line for line in running.log().splitlines() if line]
        self.assertTrue(lines)
        for line in lines:
            self.assertIn("level", json.loads(line))


if __name__ == "__main__":
    broker.main()
