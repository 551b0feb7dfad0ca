"""Runs one test program and counts its cases, whatever it reports in: TAP (cmocka, our scripts), Python's
unittest, node's test runner, or nothing but an exit code. A program that crashes, hangs, reports fewer cases than
it planned, or fails without saying which case, counts as one more failed case."""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Outcome:
    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    output: str = ""
    seconds: float = 0.0


def _count_tap(text, code):
    skipped = len(re.findall(r"^(?:not )?ok\b.*# SKIP", text, re.M))  # cmocka says "not ok" to those
    ok = len(re.findall(r"^ok\b(?!.*# SKIP)", text, re.M))
    failed = len(re.findall(r"^not ok\b(?!.*# SKIP)", text, re.M))
    plans = [int(count) for count in re.findall(r"^1\.\.(\d+)", text, re.M)]
    if not plans or ok + skipped + failed < sum(plans) or (code != 0 and failed == 0):
        failed += 1
    return ok, failed, skipped


def _count_unittest(text, code):
    ran = re.search(r"^Ran (\d+) tests?", text, re.M)
    if not ran:
        return 0, 1, 0
    # A test has one heading per failed subtest, and one more for its clean-up: count it once.
    broken = set(re.findall(r"^(?:FAIL|ERROR): (\w+) \(([\w.]+)\)", text, re.M))
    skips = re.search(r"skipped=(\d+)", text[ran.end():])
    skipped = int(skips.group(1)) if skips else 0
    failed = len(broken)
    passed = max(int(ran.group(1)) - skipped - sum(name.startswith("test") for name, _ in broken), 0)
    if code != 0 and failed == 0 or passed + failed + skipped == 0:
        failed += 1
    return passed, failed, skipped


def _count_node(text, code):
    def number(word):
        return sum(int(n) for n in re.findall(rf"^(?:#|ℹ) {word} (\d+)\s*$", text, re.M))

    passed, failed = number("pass"), number("fail") + number("cancelled")
    if (code != 0 and failed == 0) or passed + failed == 0:
        failed += 1
    return passed, failed, number("skipped") + number("todo")


def _count_exit(_text, code):
    return (1, 0, 0) if code == 0 else (0, 1, 0)


COUNTERS = {"tap": _count_tap, "unittest": _count_unittest, "node": _count_node, "exit": _count_exit}


def run(name, argv, *, counts="exit", env=None, cwd=None, timeout=300):
    """Runs argv to its end or its deadline (then its whole process group is killed)."""
    began = time.monotonic()
    try:
        child = subprocess.Popen(argv, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as error:
        return Outcome(name, failed=1, output=f"cannot start {argv[0]}: {error}\n")
    late = ""
    try:
        raw, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raw, _ = child.communicate()
        late = f"\nkilled after {timeout} s\n"
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    text = raw.decode(errors="replace") + late
    if child.returncode < 0 and not late:
        text += f"\nended by {signal.Signals(-child.returncode).name}\n"
    passed, failed, skipped = COUNTERS[counts](text, child.returncode)
    return Outcome(name, passed, failed, skipped, text, time.monotonic() - began)
