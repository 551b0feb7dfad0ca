"""The command line as people and scripts use it: arguments in, standard streams and exit codes out."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest

import broker

SLUICE = os.environ.get("SLUICE_CLI", os.path.join(broker.ROOT, "build", "clients", "cli", "sluice"))
COMMANDS = ("pub", "sub", "request", "reply", "completion")
OK, FAILURE, USAGE, TIMEOUT = 0, 1, 2, 27


def run(*arguments, stdin="", env=None):
    return subprocess.run([SLUICE, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=broker.clean_environment(env), timeout=broker.DEADLINE_S)


class WithoutABroker(unittest.TestCase):
    def test_version_is_one_line(self):
        done = run("--version")
        self.assertEqual(done.returncode, OK)
        self.assertRegex(done.stdout, r"\Asluice \d+\.\d+\.\d+\n\Z")

    def test_help_names_every_command_and_each_command_shows_examples(self):
        overview = run("--help").stdout
        for command in COMMANDS:
            self.assertRegex(overview, rf"(?m)^  {command}\s")
            done = run(command, "--help")
            self.assertEqual((done.returncode, done.stderr), (OK, ""))
            self.assertIn("Examples:\n  sluice " + command, done.stdout)
            self.assertLess(max(len(line) for line in done.stdout.splitlines()), 116)
            self.assertEqual(run("help", command).stdout, done.stdout)

    def test_wrong_usage_is_explained_with_exit_code_2(self):
        for arguments, says in [((), "Usage"),
                                (("frobnicate",), "no command"),
                                (("pub",), "which topic"),
                                (("sub",), "which topics"),
                                (("pub", "a", "b", "c"), "too many"),
                                (("pub", "--frobnicate", "a"), "no option --frobnicate"),
                                (("sub", "-Z", "a"), "no option -Z"),
                                (("sub", "a", "-C"), "needs a value"),
                                (("sub", "a", "-C", "0"), "not a valid COUNT"),
                                (("sub", "a", "-W", "soon"), "not a valid SECONDS"),
                                (("sub", "a", "--format", "%t %y"), '"%y"'),
                                (("sub", "a", "--policy", "hope"), "drop_oldest"),
                                (("pub", "a", "--header", "x"), "NAME=VALUE"),
                                (("pub", "-l", "a", "b"), "no PAYLOAD"),
                                (("reply", "a"), "--exec"),
                                (("reply", "a", "x", "--echo"), "one of"),
                                (("completion", "csh"), "bash, zsh or fish")]:
            with self.subTest(arguments=arguments):
                done = run(*arguments)
                self.assertEqual(done.returncode, USAGE, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn(says, done.stderr)

    def test_a_missing_broker_is_explained(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
            for command in ("pub", "sub", "request"):
                done = run(command, "-s", url, "a")
                self.assertEqual(done.returncode, FAILURE)
                self.assertEqual(done.stderr,
                                 f"sluice: cannot connect to {url}: connection refused — is sluiced running?\n")

    def test_what_is_no_url_is_refused(self):
        for url in ("localhost", "http://localhost", "tcp://::1", "tcp://h:99999"):
            done = run("pub", "a", env={"SLUICE_URL": url})
            self.assertEqual(done.returncode, FAILURE)
            self.assertIn("is not a broker URL", done.stderr)

    def test_a_server_that_is_no_broker_is_recognised(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(broker.DEADLINE_S)
            command = subprocess.Popen([SLUICE, "pub", "-s", f"tcp://127.0.0.1:{server.getsockname()[1]}", "a"],
                                       stderr=subprocess.PIPE, text=True, env=broker.clean_environment())
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                _, stderr = command.communicate(timeout=broker.DEADLINE_S)
            self.assertEqual(command.returncode, FAILURE)
            self.assertIn("does not speak sluice.v1", stderr)

    def test_completion_scripts_know_commands_and_options(self):
        for shell in ("bash", "zsh", "fish"):
            script = run("completion", shell).stdout
            for word in COMMANDS + ("max-hz", "header", "drop_oldest"):
                self.assertIn(word, script)
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=script, text=True, check=True)

    def test_bash_completes(self):
        script = run("completion", "bash").stdout

        def complete(*words):
            quoted = " ".join(f"'{word}'" for word in words)
            probe = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _sluice; echo ${{COMPREPLY[@]}}"
            return subprocess.run(["bash", "-c", script + probe], stdout=subprocess.PIPE, text=True,
                                  check=True).stdout.split()

        self.assertEqual(complete("sluice", "re"), ["request", "reply"])
        self.assertEqual(complete("sluice", "sub", "--ma"), ["--max-hz"])
        self.assertEqual(complete("sluice", "sub", "--policy", "drop_n"), ["drop_newest"])


class WithABroker(broker.BrokerTest):
    def setUp(self):
        self.broker = self.start()
        self.url = self.broker.url("tcp")

    def cli(self, command, *arguments, stdin="", env=None):
        return run(command, "-s", self.url, *arguments, stdin=stdin, env=env)

    def ok(self, *arguments, **options):
        done = self.cli(*arguments, **options)
        self.assertEqual(done.returncode, OK, done.stderr)
        return done.stdout

    def spawn(self, command, *arguments, ready):
        """Starts a command and waits until it has said `ready` on stderr."""
        process = subprocess.Popen([SLUICE, command, "-s", self.url, *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=broker.clean_environment())
        self.addCleanup(self.reap, process)
        line = process.stderr.readline().decode()
        self.assertIn(ready, line)
        return process

    def reap(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def sub(self, *arguments):
        return self.spawn("sub", "-v", *arguments, ready="subscribed")

    def finish(self, process, code=OK):
        stdout, stderr = process.communicate(timeout=broker.DEADLINE_S)
        self.assertEqual(process.returncode, code, stderr.decode())
        return stdout.decode(), stderr.decode()

    # ---- pub and sub

    def test_what_is_published_is_printed_with_its_topic(self):
        sub = self.sub("-C", "3", "room/#", "alarm/+")
        self.ok("pub", "room/1", "hello")
        self.ok("pub", "alarm/x", "grüß dich")
        self.ok("pub", "room", "")
        self.assertEqual(self.finish(sub)[0], "room/1 hello\nalarm/x grüß dich\nroom \n")

    def test_standard_input_is_one_message_or_one_per_line(self):
        sub = self.sub("-C", "4", "--format", "[%p]", "a")
        self.ok("pub", "a", "-", stdin="two\nlines\n")
        self.ok("pub", "-l", "a", stdin="first\n\nlast")
        self.assertEqual(self.finish(sub)[0], "[two\nlines\n]\n[first]\n[]\n[last]\n")

    def test_repeat_publishes_in_order_and_all(self):
        sub = self.sub("-C", "20000", "-W", "20", "a")
        self.ok("pub", "-n", "10000", "a", "x")
        self.ok("pub", "-l", "a", stdin="".join(f"{i}\n" for i in range(10000)))
        out = self.finish(sub)[0].splitlines()
        self.assertEqual(out[:10000], ["a x"] * 10000)
        self.assertEqual(out[10000:], [f"a {i}" for i in range(10000)])

    def test_what_is_retained_is_there_later_until_it_is_cleared(self):
        for topic, payload in (("room/1", "old"), ("room/1", "new"), ("room/2", "x"), ("room/3", "y")):
            self.ok("pub", "--retain", topic, payload)
        self.ok("pub", "--retain", "room/2")
        done = self.cli("sub", "--retained-only", "-v", "room/#", "room/+/x", "other")
        self.assertEqual((done.returncode, done.stdout), (OK, "room/1 new\nroom/3 y\n"))
        sub = self.sub("-C", "3", "--format", "%r %t %p", "room/#")
        self.ok("pub", "--retain", "room/1", "live")
        self.assertEqual(self.finish(sub)[0], "1 room/1 new\n1 room/3 y\n0 room/1 live\n")
        first = json.loads(self.cli("sub", "-C", "1", "--json", "room/3").stdout)
        self.assertIs(first["retained"], True)
        self.assertEqual(self.cli("sub", "--retained-only", "nothing").returncode, OK)

    def test_many_retained_values_are_all_printed(self):
        self.ok("pub", "-n", "1", "--retain", "m/0", "x")
        with self.broker.connect() as client:
            for n in range(1, 5000):
                client.send(4, 0, f"m/{n}", b"x" * 100, {"retain": True})
            client.fence()
        done = self.cli("sub", "--retained-only", "--format", "%t", "m/#")
        self.assertEqual(sorted(done.stdout.split()), sorted(f"m/{n}" for n in range(5000)))

    def test_rate_spreads_the_messages(self):
        started = time.monotonic()
        self.ok("pub", "-n", "11", "--rate", "50", "a", "x")
        self.assertGreaterEqual(time.monotonic() - started, 0.2)

    def test_wait_ends_with_27_and_count_with_0(self):
        self.assertEqual(self.cli("sub", "-W", "0.05", "a").returncode, TIMEOUT)
        sub = self.sub("-C", "1", "-W", "20", "a")
        self.ok("pub", "a", "x")
        self.finish(sub)

    def test_format_shows_every_part_of_a_message(self):
        sub = self.sub("-C", "1", "-N", "--format", r"%t|%p|%x|%l|%k|%h|%%|%U|%I\n\t\\", "a/b")
        self.ok("pub", "a/b", "Az", "--key", "k1", "-H", "x=1", "-H", "y=2=3", "--ttl", "60")
        out = self.finish(sub)[0]
        self.assertRegex(out, r"\Aa/b\|Az\|417a\|2\|k1\|x=1, y=2=3\|%\|\d{10}\.\d{3}\|"
                              r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\n\t\\\Z")
        self.assertAlmostEqual(float(out.split("|")[7]), time.time(), delta=60)

    def test_json_lines_hold_everything(self):
        sub = self.sub("-C", "2", "--json", "a")
        self.ok("pub", "a", 'say "hi"\n\u00e9', "--key", "k", "-H", "h=v", "--content-type", "text/plain", "--reply", "r")
        with self.broker.connect() as client:
            client.send(4, 0, "a", b"\x00\xff\xfe")
            first, second = [json.loads(line) for line in self.finish(sub)[0].splitlines()]
        self.assertEqual({key: first[key] for key in first if key != "time"},
                         {"topic": "a", "payload": 'say "hi"\n\u00e9', "key": "k", "headers": [["h", "v"]],
                          "content_type": "text/plain", "reply": "r"})
        self.assertEqual(second["payload_base64"], "AP/+")

    def test_overlapping_filters_print_once_per_filter_either_way(self):
        for flag in ([], ["--tag"]):
            sub = self.sub("-C", "2", *flag, "a/+", "a/#")
            self.ok("pub", "a/b", "x")
            self.assertEqual(self.finish(sub)[0], "a/b x\na/b x\n")

    def test_what_the_broker_refuses_is_said_in_its_words(self):
        done = self.cli("sub", "--policy", "block", "a")
        self.assertEqual(done.returncode, FAILURE)
        self.assertRegex(done.stderr, r"\Asluice: cannot subscribe to a: .+ \(denied\)\n\Z")
        self.assertEqual(self.cli("pub", "a/+", "x").returncode, FAILURE)
        self.assertEqual(self.cli("sub", "a/#/b").returncode, FAILURE)

    def test_conflated_messages_are_told_as_a_gap(self):
        sub = self.sub("--max-hz", "2", "-C", "2", "-W", "20", "a")
        self.ok("pub", "-n", "50", "a", "x")
        out, err = self.finish(sub)
        self.assertEqual(out, "a x\na x\n")
        self.assertRegex(err, r"\A(gap: \d+ messages? of a lost \(max_hz\)\n)+\Z")
        self.assertEqual(sum(int(n) for n in re.findall(r"gap: (\d+)", err)), 48)

    # ---- ends

    def test_int_and_term_end_cleanly(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            sub = self.sub("a")
            sub.send_signal(number)
            self.assertEqual(self.finish(sub), ("", ""))

    def test_a_reader_that_goes_away_is_an_ordinary_end(self):
        sub = self.sub("a")
        sub.stdout.close()
        sub.stdout = None
        self.ok("pub", "a", "x")
        self.assertEqual(sub.wait(broker.DEADLINE_S), OK)
        self.assertEqual(sub.stderr.read(), b"")

    def test_a_full_disk_is_a_failure(self):
        with open("/dev/full", "w") as full:
            process = subprocess.Popen([SLUICE, "sub", "-s", self.url, "-v", "a"], stdout=full,
                                       stderr=subprocess.PIPE, text=True, env=broker.clean_environment())
            self.addCleanup(self.reap, process)
            process.stderr.readline()
            self.ok("pub", "a", "x")
            self.assertEqual(process.wait(broker.DEADLINE_S), FAILURE)
            self.assertIn("No space left", process.stderr.read())

    def test_a_restarted_broker_is_found_again(self):
        sub = self.sub("-C", "2", "a")
        self.ok("pub", "a", "before")
        self.assertEqual(sub.stdout.readline(), b"a before\n")
        self.broker.stop()
        self.assertIn(b"connection lost", sub.stderr.readline())
        self.start(listen=(self.url,))
        self.assertIn(b"connected again", sub.stderr.readline())
        while sub.poll() is None:
            self.ok("pub", "a", "after")
        self.assertEqual(sub.stdout.read().splitlines()[0], b"a after")

    def test_no_reconnect_ends_with_the_connection(self):
        sub = self.sub("--no-reconnect", "a")
        self.broker.stop()
        self.assertRegex(self.finish(sub, FAILURE)[1], r"\Asluice: the connection has ended: .+\n\Z")

    # ---- request and reply

    def test_a_request_is_answered_by_text_echo_or_command(self):
        for arguments, payload, answer in [(["fixed"], "x", "fixed"),
                                           (["--echo"], "mirror", "mirror"),
                                           (["--exec", "tr a-z A-Z"], "shout", "SHOUT"),
                                           (["--exec", 'echo "$SLUICE_TOPIC"'], "x", "svc/1\n")]:
            reply = self.spawn("reply", "-C", "1", "svc/+", *arguments, ready="answering requests on svc/+")
            self.assertEqual(self.ok("request", "-N", "svc/1", payload), answer)
            self.finish(reply)

    def test_a_large_payload_goes_through_a_command_that_reads_slowly(self):
        reply = self.spawn("reply", "-C", "1", "svc", "--exec", "sleep 0.1; cat", ready="answering")
        payload = "0123456789abcdef" * 40000
        self.assertEqual(self.ok("request", "-N", "-W", "20", "svc", "-", stdin=payload), payload)
        self.finish(reply)

    def test_a_command_that_ignores_its_input_or_fails_still_answers(self):
        reply = self.spawn("reply", "-C", "1", "svc", "--exec", "exec <&-; echo no; exit 3", ready="answering")
        self.assertEqual(self.ok("request", "svc", "-", stdin="x" * 300000), "no\n\n")
        self.assertIn("ended with 3", self.finish(reply)[1])

    def test_nobody_to_answer_is_told_at_once(self):
        started = time.monotonic()
        done = self.cli("request", "-W", "15", "svc", "x")
        self.assertEqual(done.returncode, FAILURE)
        self.assertRegex(done.stderr, r"\Asluice: no reply from svc: nobody.*\n\Z")
        self.assertLess(time.monotonic() - started, 10)

    def test_no_reply_in_time_ends_with_27(self):
        self.sub("svc")
        self.assertEqual(self.cli("request", "-W", "0.05", "svc", "x").returncode, TIMEOUT)


if __name__ == "__main__":
    broker.main()
