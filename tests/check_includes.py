#!/usr/bin/env python3
"""Checks that includes point one way (CONTRIBUTING.md draws the rooms), that libraries stay behind their one user,
and that every header compiles alone behind an include guard. Prints TAP."""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.chdir(ROOT)

# A file may include its own room and rooms further down; rooms on one line do not know each other.
FLOORS = [
    ["main"],
    ["broker"],
    ["frontend", "admin", "cluster"],
    ["session"],
    ["router", "auth", "store"],
    ["delivery"],
    ["message"],
    ["ground"],
    ["proto"],
]
FLOOR = {room: height for height, floor in enumerate(reversed(FLOORS)) for room in floor}

# What all of the broker stands on, by the first word of the file's name; *_settings counts wherever it lies.
GROUND = r"(coro|mailbox|metrics|log|timer_wheel|option|limits|machine|memory|clock|random|yaml_text)(_\w+)?"

# Files with a narrower view than their room.
ONLY = {
    "broker/router/topic_tree": {"ground", "proto"},
    "broker/coro": {"proto"},
    "broker/timer_wheel": {"proto"},
}

# A library's header, and the files that may know it.
LIBRARIES = {
    r"libwebsockets\.h": r"broker/frontend/(lws_\w+|ws|http\w*)\.[ch]",
    r"lmdb\.h": r"broker/store/lmdb\.c",
    r"yaml\.h": r"broker/config\w*\.[ch]",
    r"nats/.*|nats\.h": r"broker/cluster/nats\.c",
}

# What proto must not touch: it is bytes in, bytes out.
PROTO_SYSTEM = {"assert.h", "limits.h", "math.h", "msgpack.h", "msgpack/.*", "stdbool.h", "stddef.h", "stdint.h",
                "stdlib.h", "string.h"}


def sources(*folders):
    found = []
    for folder in folders:
        for path in glob.glob(f"{folder}/**/*.[ch]", recursive=True):
            if "node_modules" not in path:
                found.append(path)
    return sorted(found)


def includes(path):
    """(line number, text between the delimiters, whether it was in quotes)"""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            found = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if found:
                yield number, found.group(2), found.group(1) == '"'


def room(path):
    parts = path.split("/")
    stem = re.sub(r"\.[ch]$", "", parts[-1])
    if parts[0] != "broker":
        return parts[0]
    if stem.endswith("_settings") or len(parts) == 2 and re.fullmatch(GROUND, stem):
        return "ground"
    if len(parts) > 2:
        return parts[1]
    if stem in ("main", "message"):
        return stem
    return "broker"


def broker_problem(path, target):
    here, there = room(path), room(target)
    stem = re.sub(r"\.[ch]$", "", path)
    if there not in FLOOR:
        return f"the broker must not include {there}/"
    if stem in ONLY and there not in ONLY[stem] and re.sub(r"\.h$", "", target) != stem:
        return f"may include only {', '.join(ONLY[stem])}"
    if here != there and FLOOR[there] >= FLOOR[here]:
        return f"{here} must not include {there}"
    return None


def project_problem(path, target):
    """What is wrong with this file including that file of the project."""
    here = path.split("/")[0]
    there = target.split("/")[0]
    if not os.path.exists(target):
        return "no such file, seen from the root of the repository"
    if here == "proto":
        return None if there == "proto" else "proto includes only proto"
    if here == "broker":
        return broker_problem(path, target)
    if here == "clients":
        allowed = there in ("proto", "clients") and not target.startswith("clients/cli") or path.startswith("clients/cli")
        return None if allowed and there != "broker" else "clients include only proto and themselves"
    if here == "examples":
        same = "/".join(path.split("/")[:2]) == "/".join(target.split("/")[:2])
        return None if same or target.startswith("clients/c/include/") else "examples use only the public client header"
    return None


def client_headers(path, target):
    """The public client headers are included by name, as an application does."""
    return path.split("/")[0] in ("clients", "examples", "tests") and os.path.exists(f"clients/c/include/{target}")


def library_problem(path, header):
    if path.startswith("proto/") and not any(re.fullmatch(known, header) for known in PROTO_SYSTEM):
        return f"proto does no I/O and knows no clock: <{header}>"
    if path.startswith("tests/"):
        return None
    for library, users in LIBRARIES.items():
        if re.fullmatch(library, header) and not re.fullmatch(users, path):
            return f"only {users} may include <{header}>"
    return None


def direction_problems(path):
    problems = []
    for number, target, quoted in includes(path):
        if client_headers(path, target):
            continue
        problem = project_problem(path, target) if quoted else library_problem(path, target)
        if problem:
            problems.append(f"{path}:{number}: {problem} ({target})")
    return problems


def guard_problems(path):
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read(), flags=re.S).strip()
    guard = re.match(r"#ifndef (\w+_H)\s*\n#define (\w+)", text)
    if not guard or guard.group(1) != guard.group(2) or not text.endswith("#endif"):
        return [f"{path}: no include guard around the whole header"]
    return []


def guard_names_problems(headers):
    seen, problems = {}, []
    for path in headers:
        with open(path, encoding="utf-8") as file:
            found = re.search(r"^#ifndef (\w+_H)$", file.read(), re.M)
        if found and found.group(1) in seen:
            problems.append(f"{path}: shares its include guard with {seen[found.group(1)]}")
        elif found:
            seen[found.group(1)] = path
    return problems


def library_flags():
    packages = ["libuv", "libwebsockets", "yaml-0.1", "jansson", "libxxhash", "cmocka"]
    asked = subprocess.run(["pkg-config", "--cflags", *packages], stdout=subprocess.PIPE, text=True)
    return asked.stdout.split()


def compile_problems(path, flags=library_flags()):
    command = ["gcc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I.", "-Iclients/c/include", *flags,
               "-fsyntax-only", "-x", "c", "-"]
    # Included, not compiled itself: no "#pragma once in main file", no unused static inline.
    done = subprocess.run(command, input=f'#include "{path}"\n', text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.stdout.splitlines() if done.returncode else []


def report(cases):
    failed = 0
    print(f"1..{len(cases)}")
    for number, (name, problems) in enumerate(cases, 1):
        failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - {name}")
        for problem in problems:
            print(f"#   {problem}")
    return 1 if failed else 0


def main():
    files = sources("proto", "broker", "clients", "examples")
    headers = [path for path in files if path.endswith(".h")]
    cases = []
    for folder in sorted({os.path.dirname(path) for path in files}):
        problems = [p for path in files if os.path.dirname(path) == folder for p in direction_problems(path)]
        cases.append((f"includes of {folder} point one way", problems))
    cases.append(("include guards are distinct", guard_names_problems(headers)))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, problems in zip(headers, pool.map(compile_problems, headers)):
            cases.append((f"{path} compiles alone", guard_problems(path) + problems))
    return report(cases)


if __name__ == "__main__":
    sys.exit(main())
