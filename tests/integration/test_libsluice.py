"""libsluice as a program outside of this repository meets it: its headers, its shared library, the example in its README."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import broker

CLIENT = os.path.join(broker.ROOT, "clients", "c")
INCLUDE = os.path.join(CLIENT, "include")
LIBRARY_DIR = os.environ.get("SLUICE_LIBRARY_DIR", os.path.join(broker.ROOT, "build", "clients", "c"))
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


class Library(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def compile(self, name, source, *flags):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(source)
        compiler = "c++" if name.endswith(".cc") else "cc"
        done = subprocess.run([compiler, *STRICT, "-I", INCLUDE, path, "-o", path + ".out", *flags],
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path + ".out"

    def test_the_example_of_the_readme_compiles_and_says_that_nobody_listens(self):
        with open(os.path.join(CLIENT, "README.md")) as file:
            example = re.search(r"```c\n(#include.*?)```", file.read(), re.S).group(1)
        program = self.compile("hello.c", example.replace("127.0.0.1:7400", "127.0.0.1:1"), "-L", LIBRARY_DIR,
                               "-lsluice", "-luv")
        done = subprocess.run([program], stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "LD_LIBRARY_PATH": LIBRARY_DIR}, timeout=broker.DEADLINE_S)
        self.assertEqual((done.returncode, done.stderr), (1, "cannot connect: connection refused\n"))

    def test_each_header_compiles_alone_as_c_and_as_cpp(self):
        for header in ("sluice.h", "sluice_uv.h"):
            for suffix in ("c", "cc"):
                if suffix == "cc" and not shutil.which("c++"):
                    continue
                self.compile(f"alone.{suffix}", f"#include <{header}>\nint main() {{ return 0; }}\n" if suffix == "cc"
                             else f"#include <{header}>\nint main(void) {{ return 0; }}\n")

    def test_the_shared_library_exports_the_interface_and_nothing_else(self):
        names = subprocess.run(["nm", "-D", "--defined-only", os.path.join(LIBRARY_DIR, "libsluice.so")],
                               stdout=subprocess.PIPE, text=True, check=True).stdout.split()[2::3]
        declared = set()
        for header in ("sluice.h", "sluice_uv.h"):
            with open(os.path.join(INCLUDE, header)) as file:
                declared |= set(re.findall(r"SLUICE_API[^;]*?\b(sluice_\w+)\(", file.read()))
        self.assertEqual(sorted(name for name in names), sorted(declared))


if __name__ == "__main__":
    broker.main()
