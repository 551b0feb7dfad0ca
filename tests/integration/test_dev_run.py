"""`./dev run`, the README's first command: everything that it promises to start, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import unittest

import broker
import client
import websocket


@unittest.skipIf(broker.SANITIZED, "runs the release build")
class DevRun(unittest.TestCase):
    def start(self, *arguments):
        process = subprocess.Popen([os.path.join(broker.ROOT, "dev"), "run", *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                                   env=broker.clean_environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()  # what it started is tethered to it
            process.wait()

    def await_urls(self, process):
        """The URLs in its first lines; fails with what it said when it ends instead."""
        said = ""
        for line in process.stdout:
            said += line
            found = re.search(r"(tcp://\S+) and (ws://[\w.:\[\]]+)", line)
            if found:
                return tuple(re.search(r"//(.*):(\d+)$", url).groups() for url in found.groups())
        self.fail("./dev run did not start:\n" + said)

    def test_it_starts_the_broker_with_the_examples_and_ends_on_ctrl_c(self):
        process = self.start("--tcp", "0", "--ws", "0")
        (tcp_host, tcp_port), (ws_host, ws_port) = self.await_urls(process)
        web = (ws_host, int(ws_port))
        for path in ("/", "/chat/", "/dashboard/", "/lib/sluice/index.js", "/lib/msgpack/index.mjs", "/common/look.css"):
            with self.subTest(path):
                self.assertEqual(websocket.http_get(web, path, broker.DEADLINE_S).status, 200)
        with client.dial("tcp", (tcp_host, int(tcp_port)), broker.DEADLINE_S) as peer:
            peer.greet()
            with self.subTest("the feeder publishes this machine's figures"):
                peer.subscribe("metrics/#")
                peer.expect(client.MSG)
                peer.unsubscribe("metrics/#")
            with self.subTest("the responder answers"):
                peer.subscribe("answers")
                peer.publish("services/primes", b"100", reply="answers")
                frame = peer.next()
                while frame[:2] != [client.MSG, "answers"]:
                    frame = peer.next()
                self.assertIn(b'"count":25', frame[2])
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(broker.DEADLINE_S), 0, process.stdout.read())

    def test_a_busy_port_is_refused_with_the_address_and_the_flag(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            for flag in ("--tcp", "--ws"):
                with self.subTest(flag):
                    process = self.start(flag, port)
                    said = process.communicate(timeout=broker.DEADLINE_S * 3)[0]
                    self.assertEqual(process.returncode, 1)
                    self.assertIn(f"127.0.0.1:{port}", said)
                    self.assertIn(flag, said)

    def test_an_unknown_argument_is_refused(self):
        process = self.start("--port", "1")
        self.assertIn("--tcp PORT", process.communicate(timeout=broker.DEADLINE_S)[0])
        self.assertNotEqual(process.returncode, 0)


if __name__ == "__main__":
    broker.main()
