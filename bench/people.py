#!/usr/bin/env python3
"""What an anonymous caller can find out or exhaust.

    bench/people.py sign-in [--tries 2000]     does the time of a failed sign-in reveal whether an address is known?
    bench/people.py tokens [--count 1000000]   does the memory grow with invalid tokens?

Both start their own server (TENURE_BIN, else the release build, else the debug build) on a new SQLite file. The exit code is 1 when
the answer is yes."""

import argparse
import base64
import itertools
import json
import os
import pathlib
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/clients"))
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BUILDS = [build for build in (TARGET / "release/tenure", TARGET / "debug/tenure") if build.exists()]
if BUILDS:
    os.environ.setdefault("TENURE_BIN", str(BUILDS[0]))
import harness  # noqa: E402: it reads TENURE_BIN
import load  # noqa: E402

SIGN_IN = "/frontend/api/v1/auth/sign-in"


def served(**settings):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tenure-bench-"))
    return harness.Tenure(f"sqlite:{folder / 'tenure.db'}", folder, **settings)


def differences(times, rounds, chance):
    """The differences of medians between random halves of one case: the effect of noise alone."""
    found = []
    for _ in range(rounds):
        mixed = chance.sample(times, len(times))
        half = len(mixed) // 2
        found.append(abs(statistics.median(mixed[:half]) - statistics.median(mixed[half:])))
    return found


def sign_in(tries):
    """Alternates unknown addresses and wrong passwords from one client: first each as the first counted failure of a new network, then as
    one of many failures."""
    tenure = served(TENURE_SIGN_IN_ATTEMPTS="100000", TENURE_TRUSTED_PROXIES="127.0.0.1")
    email = tenure.organization().login("correct horse battery staple")
    line, chance = load.Line(tenure.url), random.Random(1)
    networks = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in itertools.count(1))

    def attempt(address, network):
        body = {"email": address, "password": f"wrong password {chance.random()}"}
        began = time.perf_counter()
        status, _ = line.call("POST", SIGN_IN, None, body, {"X-Forwarded-For": network})
        passed = time.perf_counter() - began
        assert status == 401, status
        return passed

    def alike(what, unknown, network):
        times = {"an unknown address": [], "a wrong password": []}
        for number in range(-20, tries):
            for case in chance.sample(list(times), 2):
                address = email if case == "a wrong password" else unknown(number)
                times[case].append(attempt(address, network()))
        cases = {case: found[20:] for case, found in times.items()}
        medians = {case: statistics.median(found) for case, found in cases.items()}
        noise = sorted(one for found in cases.values() for one in differences(found, 1_000, chance))
        bound = noise[int(len(noise) * 0.95)]
        unlike = abs(medians["an unknown address"] - medians["a wrong password"])
        for case, median in medians.items():
            print(f"{what}, {case}: {len(cases[case])} tries, median {median * 1e3:.3f} ms")
        print(f"{what}: difference of medians {unlike * 1e6:.0f} µs; by chance, 95th percentile, {bound * 1e6:.0f} µs")
        return unlike <= bound

    first = alike("the first failure", lambda number: f"nobody-{number}@example.test", lambda: next(networks))
    later = alike("a later failure", lambda _: "nobody@example.test", lambda: "10.255.0.1")
    tenure.program.stop()
    return first and later


def memory(tenure):
    """The server's resident memory in bytes."""
    status = pathlib.Path(f"/proc/{tenure.program.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def forge(chance, header):
    """A plausible token: known claims, a signature of the right length."""
    encode = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    claims = {"iss": "tenure", "sub": str(harness.uuid.UUID(int=chance.getrandbits(128))), "exp": 4_000_000_000, "iat": 1_700_000_000,
              "sid": str(harness.uuid.UUID(int=chance.getrandbits(128))), "jti": encode(chance.randbytes(32))}
    return f"{header}.{encode(json.dumps(claims).encode())}.{encode(chance.randbytes(64))}"


def flood(url, count, seed, header):
    """Sends `count` tokens, a hundred at a time on one connection; each must be refused."""
    chance, address = random.Random(seed), urllib.parse.urlparse(url)
    encode = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    with socket.create_connection((address.hostname, address.port), timeout=60) as line:
        for _ in range(count // 100):
            requests = []
            for number in range(100):
                # Every second token names an unknown key, each time another.
                unknown = encode({"typ": "JWT", "alg": "EdDSA", "kid": str(harness.uuid.UUID(int=chance.getrandbits(128)))})
                token = forge(chance, unknown if number % 2 else header)
                requests.append(f"GET /frontend/api/v1/user/current HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")
            line.sendall("".join(requests).encode())
            seen = b""
            while seen.count(b"HTTP/1.1 ") < 100 or not seen.endswith(b"}\n") and not seen.endswith(b"}"):
                more = line.recv(1 << 20)
                assert more, "the server hung up"
                seen += more
            assert seen.count(b"HTTP/1.1 401 ") == 100, seen[:200]


def tokens(count):
    """Sends `count` different invalid tokens; returns whether the memory stays bounded."""
    tenure = served(TENURE_LOG="warn")
    email = tenure.organization().login("correct horse battery staple")
    body = {"email": email, "password": "correct horse battery staple"}
    status, answer = tenure.call("POST", SIGN_IN, body=body, headers={"Content-Type": "application/json"})
    assert status == 200, answer
    header = answer["jwt-token"]["token"].split(".")[0]

    def all_of(total, seed):
        threads = [threading.Thread(target=flood, args=(tenure.url, total // 4, seed + n, header)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_of(20_000, 0)
    before, began = memory(tenure), time.monotonic()
    all_of(count, 100)
    after, seconds = memory(tenure), time.monotonic() - began
    assert tenure.call("GET", "/readyz")[0] == 200
    tenure.program.stop()
    print(f"{count} tokens in {seconds:.0f} s: {before >> 20} MiB before, {after >> 20} MiB after")
    return after - before < 32 << 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("sign-in").add_argument("--tries", type=int, default=2_000)
    commands.add_parser("tokens").add_argument("--count", type=int, default=1_000_000)
    asked = parser.parse_args()
    good = sign_in(asked.tries) if asked.what == "sign-in" else tokens(asked.count)
    harness.end_everything()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
