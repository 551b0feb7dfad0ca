"""What sluiced says and refuses before it serves anybody: usage, configuration, their sources and their order."""

import os
import re
import tempfile
import unittest

import broker


class CommandLine(unittest.TestCase):
    def config(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8")
        self.addCleanup(file.close)
        file.write(text)
        file.flush()
        return file.name

    def ok(self, *arguments, env=None):
        done = broker.sluiced(*arguments, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, *arguments, env=None):
        """Exit code 2 and one short explanation."""
        done = broker.sluiced(*arguments, env=env)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertTrue(done.stderr.strip(), "no explanation")
        self.assertLess(len(done.stderr), 2000)
        return done.stderr

    def printed(self, key, *arguments, env=None):
        """The value of a dotted key in --print-config."""
        section, name = key.split(".")
        inside = False
        for line in self.ok("--print-config", *arguments, env=env).splitlines():
            if re.match(r"\S", line) and not line.startswith("#"):
                inside = line.startswith(section + ":")
            found = re.match(r"\s+" + re.escape(name) + r":\s*(.*?)\s*(?:#.*)?$", line)
            if inside and found:
                return found.group(1).strip("\"'")
        self.fail(f"--print-config does not show {key}")

    def test_version_is_one_line(self):
        self.assertRegex(self.ok("--version"), r"\Asluiced \d+\.\d+\.\d+\S*\n\Z")

    def test_help_names_every_flag(self):
        text = self.ok("--help")
        for flag in ("--listen", "--shards", "--set", "--check-config", "--print-config", "--version", "--data-dir", "-c"):
            self.assertIn(flag, text)

    def test_unknown_flags_and_stray_arguments_are_bad_usage(self):
        self.refused("--frobnicate")
        self.refused("stray")
        self.refused("--shards", "none")
        self.refused("--set", "limits.max_payload")

    def test_print_config_shows_defaults_and_loads_back_to_itself(self):
        text = self.ok("--print-config")
        self.assertEqual(self.ok("--print-config", "-c", self.config(text)), text)

    def test_check_config_accepts_a_good_file_in_silence(self):
        path = self.config("limits:\n  max_payload: 64KiB\n")
        self.ok("--check-config", "-c", path)

    def test_check_config_names_line_and_nearest_key(self):
        path = self.config("limits:\n  max_payload: 64KiB\n  max_paylod: 1\n")
        said = self.refused("--check-config", "-c", path)
        self.assertIn(":3", said)
        self.assertIn("max_payload", said)

    def test_bad_values_are_refused_with_their_line(self):
        for text in ("limits:\n  max_payload: much\n", "limits:\n  max_payload: -1\n", "limits:\n  max_payload: [1]\n",
                     "limits: 5\n", "- 1\n", "limits:\n  max_payload: 1\n  max_payload: 2\n"):
            with self.subTest(text):
                self.assertRegex(self.refused("--check-config", "-c", self.config(text)), r":\d")

    def test_a_broken_yaml_file_is_refused(self):
        for text in ("a: [1, 2", "\t- x", "a: b: c", "\x00\x01", "&a [*a]"):
            with self.subTest(repr(text)):
                self.refused("--check-config", "-c", self.config(text))

    def test_a_missing_file_is_refused(self):
        self.assertIn("/nonexistent.yaml", self.refused("--check-config", "-c", "/nonexistent.yaml"))

    def test_an_empty_file_is_the_defaults(self):
        self.assertEqual(self.ok("--print-config", "-c", self.config("")), self.ok("--print-config"))

    def test_flags_beat_the_environment_and_that_beats_the_file(self):
        path = self.config("limits:\n  max_payload: 1KiB\n")
        env = {"SLUICE_LIMITS_MAX_PAYLOAD": "2KiB"}
        flag = ("--set", "limits.max_payload=3KiB")
        self.assertEqual(self.printed("limits.max_payload", "-c", path), "1KiB")
        self.assertEqual(self.printed("limits.max_payload", "-c", path, env=env), "2KiB")
        self.assertEqual(self.printed("limits.max_payload", "-c", path, *flag, env=env), "3KiB")

    def test_an_unknown_variable_only_warns(self):
        done = broker.sluiced("--check-config", env={"SLUICE_LIMITS_MAX_PAYLOD": "1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("SLUICE_LIMITS_MAX_PAYLOD", done.stderr)

    def test_a_bad_value_of_a_known_variable_is_refused(self):
        self.assertIn("SLUICE_LIMITS_MAX_PAYLOAD", self.refused("--check-config", env={"SLUICE_LIMITS_MAX_PAYLOAD": "much"}))

    def test_an_unknown_set_key_names_the_nearest(self):
        self.assertIn("limits.max_payload", self.refused("--check-config", "--set", "limits.max_paylaod=1"))

    def test_topic_rules_are_checked_too(self):
        self.ok("--check-config", "-c", self.config("topics:\n  - filter: jobs/#\n    block: true\n"))
        self.refused("--check-config", "-c", self.config("topics:\n  - filter: jobs/#/x\n    block: true\n"))
        self.refused("--check-config", "-c", self.config("topics:\n  - filter: jobs/#\n    blok: true\n"))

    def test_the_reference_is_printed_as_markdown(self):
        text = self.ok("--print-reference")
        self.assertTrue(text.startswith("#"))
        self.assertIn("limits.max_payload", text)
        self.assertIn("SLUICE_LIMITS_MAX_PAYLOAD", text)


if __name__ == "__main__":
    broker.main()
