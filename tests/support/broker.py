"""Starts the broker under test on ports of its own choosing, waits for its `ready`, and ends it. The binary is
$SLUICED (default build/broker/sluiced). A broker that a test leaves behind with a sanitizer report, or that does not
end on TERM with exit code 0, fails that test."""

import os
import queue
import re
import resource
import select
import shlex
import signal
import subprocess
import threading
import time
import unittest
import urllib.parse

import client

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLUICED = os.environ.get("SLUICED", os.path.join(ROOT, "build", "broker", "sluiced"))
PREFIX = shlex.split(os.environ.get("SLUICED_PREFIX", ""))
SANITIZED = os.environ.get("SLUICE_BUILD", "release") != "release"

# Sanitized builds on a busy machine need patience; nothing waits this long unless something is wrong.
DEADLINE_S = 60 if SANITIZED else 20

_REPORT = re.compile(rb"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed)")


def clean_environment(extra=None):
    """The environment without SLUICE_* settings of whoever runs the tests."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("SLUICE_")}
    env.update(extra or {})
    return env


def sluiced(*arguments, env=None, text=True):
    """Runs the broker to its end (for --version and the like); returns the CompletedProcess."""
    return subprocess.run(PREFIX + [SLUICED, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=text, env=clean_environment(env), timeout=DEADLINE_S)


class Broker:
    """A running sluiced. Settings as a mapping: {"limits.max_payload": "64KiB"}."""

    def __init__(self, settings=None, *, shards=1, listen=("tcp://127.0.0.1:0", "ws://127.0.0.1:0"), arguments=(),
                 env=None, open_files=None, wait=True):
        command = PREFIX + [SLUICED, "--shards", str(shards)]
        for url in listen:
            command += ["--listen", url]
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={value}"]
        self.urls = []
        self.expected_exit = 0
        self._stderr = bytearray()
        self._grown = threading.Condition()
        self._process = subprocess.Popen(command + list(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, env=clean_environment(env),
                                         preexec_fn=_file_limit(open_files) if open_files else None)
        self._lines = queue.Queue()
        self._threads = [threading.Thread(target=self._read_stdout, daemon=True),
                         threading.Thread(target=self._read_stderr, daemon=True)]
        for thread in self._threads:
            thread.start()
        if wait:
            self._await_ready()

    # -- what it says

    def _read_stdout(self):
        for line in self._process.stdout:
            self._lines.put(line.decode().rstrip("\n"))
        self._lines.put(None)

    def _read_stderr(self):
        while piece := os.read(self._process.stderr.fileno(), 65536):
            with self._grown:
                self._stderr += piece
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    def _await_ready(self):
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise AssertionError("the broker did not get ready:\n" + self.log())
            if line == "ready":
                return
            if line.startswith("listening "):
                self.urls.append(line[len("listening "):])

    def log(self):
        with self._grown:
            return self._stderr.decode(errors="replace")

    def await_log(self, pattern, after=0):
        """Waits until the log matches; returns the match object."""
        deadline = time.monotonic() + DEADLINE_S
        with self._grown:
            while True:
                text = self._stderr.decode(errors="replace")
                found = re.compile(pattern).search(text, after)
                if found:
                    return found
                if not self._grown.wait(deadline - time.monotonic()) and time.monotonic() > deadline:
                    raise AssertionError(f"the log never said {pattern!r}:\n{text}")

    # -- where it is

    @property
    def pid(self):
        return self._process.pid

    def url(self, scheme):
        return next(url for url in self.urls if url.startswith(scheme + "://"))

    def address(self, scheme):
        parts = urllib.parse.urlsplit(self.url(scheme))
        return parts.hostname, parts.port

    def connect(self, scheme="tcp", **options):
        """A client that has been greeted."""
        connected = self.dial(scheme, **options)
        connected.greet()
        return connected

    def dial(self, scheme="tcp", **options):
        """A client that has said nothing."""
        return client.dial(scheme, self.address(scheme), DEADLINE_S, **options)

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # -- its end

    def signal(self, number):
        self._process.send_signal(number)

    def running(self):
        return self._process.poll() is None

    def wait(self, timeout=None):
        code = self._process.wait(timeout or DEADLINE_S)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        return code

    def kill(self):
        if self.running():
            self._process.kill()
        self.wait()

    def stop(self):
        """TERM; asserts a clean end. For a broker that the test has already ended: only looks at its last words."""
        if self.running():
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the broker did not end on TERM:\n" + self.log()[-8000:]) from None
        finally:
            self._process.stdout.close()
            self._process.stderr.close()
        if _REPORT.search(bytes(self._stderr)):
            raise AssertionError("the broker reported a fault of its own:\n" + self.log()[-16000:])
        if code != self.expected_exit:
            raise AssertionError(f"exit code {code}, expected {self.expected_exit}:\n" + self.log()[-8000:])


def _file_limit(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


class BrokerTest(unittest.TestCase):
    """A test with brokers that are ended, and judged, behind it."""

    maxDiff = 2000

    def start(self, settings=None, **options):
        # Draining quickly keeps tests fast; what draining does has tests of its own.
        settings = {"session.drain_window": "200ms", **(settings or {})}
        broker = Broker(settings, **options)
        self.addCleanup(broker.stop)
        return broker

    def eventually(self, condition, what):
        """For what no event announces (a counter of the kernel, say): polls until the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"never came true: {what}")
            select.select([], [], [], 0.01)


def main():
    unittest.main(verbosity=2)
