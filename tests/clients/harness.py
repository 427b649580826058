"""Starts the real programs that the tests talk to, and ends all of them.

`Program` is a process with a log, `Tenure` one server on one database, `Organization` a tenant in it, and `MobileCli` a
person at a terminal.
"""

import itertools
import json
import os
import pathlib
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TENURE = pathlib.Path(os.environ.get("TENURE_BIN", ROOT / "target/debug/tenure")).resolve()
MODULES = HERE / "node_modules"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
MOBILECLI = MODULES / f"@mobilenext/mobilecli-linux-{MACHINE}/mobilecli-linux-{MACHINE}"
MOBILECLI_LEGACY = MODULES / f"mobilecli-legacy/bin/mobilecli-linux-{MACHINE}"
EVERRUNS = pathlib.Path(os.environ.get("EVERRUNS_BIN", ROOT / "target/everruns/bin/everruns")).resolve()
FAKE_ADB = HERE / "fake-adb"

# Every process of this run, and its children, have this in their environment.
MARK = f"TENURE_TEST_CLIENTS={uuid.uuid4()}"
_numbers = itertools.count(1)


def wait_until(what, probe, seconds=30):
    """Returns the first true result of `probe`; fails at the deadline, naming `what`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s this had not happened: {what} (last result: {seen!r})")
        time.sleep(0.05)


def free_port():
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(home, **more):
    """The environment of a program under test: without the user's settings, with a separate home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TENURE_", "MOBILECLI_", "FAKE_ADB_", "ANDROID_"))}
    name, value = MARK.split("=")
    own = {"HOME": str(home), "MOBILECLI_HOME": str(home / "mobilecli"), name: value}
    return kept | own | {k: str(v) for k, v in more.items()}


def leftovers():
    """The ids of this run's processes that are still alive, found by the mark in their environment."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


class Program:
    """A process that runs until the test ends it, with a separate log of its output."""

    running = []

    def __init__(self, name, arguments, folder, environment):
        self.name = name
        self.log = folder / f"{name}-{next(_numbers)}.log"
        self.process = subprocess.Popen(
            [str(a) for a in arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=self.log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True,
        )
        Program.running.append(self)

    def tail(self, lines=60):
        """The last lines of the program's output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def until(self, what, probe, seconds=30):
        """`wait_until`, but fails at once when the program has ended."""

        def alive():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            return probe()

        return wait_until(what, alive, seconds)

    def kill(self):
        """Kills the program (SIGKILL)."""
        self.process.kill()
        self.process.wait()
        Program.running.remove(self)

    def stop(self, seconds=15):
        """Terminates the program (SIGTERM, after a while SIGKILL) and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self in Program.running:
            Program.running.remove(self)
        return self.process.returncode


class Tenure:
    """One `tenure serve` on its own database, and its administration on the command line."""

    def __init__(self, database, folder, **settings):
        self.database, self.folder = database, folder
        # A killed worker's turn goes to another worker after its lease. Tests need not wait a minute for that.
        self.environment = clean_environment(folder, **({"TENURE_WORKER_LEASE": "10s"} | settings))
        self.run("migrate")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.serve = [TENURE, "serve", "--listen", f"127.0.0.1:{port}", "--database", database]
        self.start()

    def start(self):
        """Starts the server and waits until it is ready."""
        self.program = Program("serve", self.serve, self.folder, self.environment)
        self.program.until("the server is ready", lambda: self.get("/readyz")[0] == 200)

    def kill_and_restart(self):
        """`kill -9`, then a new start on the same database."""
        self.program.kill()
        self.start()

    def run(self, *arguments, said=""):
        """Runs `tenure ARGUMENTS --database …` with `said` on standard input; it must succeed. Returns its output."""
        command = [str(TENURE), *arguments, "--database", self.database]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, input=said,
        )
        assert done.returncode == 0, f"tenure {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def admin(self, *arguments, said=""):
        """`tenure admin ARGUMENTS --json`, parsed."""
        return json.loads(self.run("admin", *arguments, "--json", said=said))

    def get(self, path, key=None):
        """GET by plain HTTP: the status and the parsed body. Status 0 when nothing answers."""
        return self.call("GET", path, key)

    def call(self, method, path, key=None, body=None, headers=None):
        """A request by plain HTTP: the status and the parsed body. Status 0 when nothing answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            status, body = refused.code, refused.read()
        except OSError:
            return 0, None
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body

    def account_key(self, role="viewer", wire="devin"):
        """The key of a new service user of the account."""
        name = f"account-{next(_numbers)}"
        made = self.admin("service-user", "create", name, "--role", role)
        return self.admin("key", "create", "--service-user", made["id"], "--wire", wire)["secret"]

    def organization(self):
        """A new organization."""
        return Organization(self)


class Organization:
    """A tenant: its people with their keys, and its hosts."""

    def __init__(self, tenure):
        self.tenure = tenure
        self.name = f"Acme {next(_numbers)}"
        self.id = tenure.admin("org", "create", self.name)["id"]
        self.folder = tenure.folder / f"org-{next(_numbers)}"
        self.folder.mkdir()

    def key(self, role="readwrite", wire="mobilenext"):
        """A key of a new member with that role: `{id, secret, …}`."""
        email = f"{role}-{next(_numbers)}@example.test"
        self.tenure.admin("user", "create", email, "--org", self.id, "--role", role)
        return self.tenure.admin("key", "create", "--user", email, "--org", self.id, "--wire", wire)

    def login(self, password, role="readwrite"):
        """The address of a new member with that role, who can sign in."""
        email = f"{role}-{next(_numbers)}@example.test"
        member = ("--org", self.id, "--role", role, "--password-stdin")
        self.tenure.admin("user", "create", email, *member, said=password + "\n")
        return email

    def limit(self, devices):
        """Limits how many devices the organization can hold at once."""
        self.tenure.run("admin", "org", "set", self.id, "--max-devices", str(devices))

    def host(self, *arguments, name=None, **environment):
        """Starts `tenure host ARGUMENTS` for this organization in a separate home, which a host of the same name reuses."""
        name = name or f"host-{next(_numbers)}"
        home = self.folder / name
        home.mkdir(exist_ok=True)
        command = [
            TENURE, "host", "--server", self.tenure.url, "--name", name, *arguments,
        ]
        own = {"TENURE_TOKEN": self.key("admin")["secret"]} | environment
        return Program("host", command, home, clean_environment(home, **own))

    def worker(self, command, *arguments, agent):
        """Starts `tenure worker` for this organization, which answers messages to the agent with the command."""
        home = self.folder / f"worker-{next(_numbers)}"
        home.mkdir()
        command = [
            TENURE, "worker", "--server", self.tenure.url, "--agent", agent, "--exec", command, *arguments,
        ]
        key = self.key("admin", "tenure")["secret"]
        return Program("worker", command, home, clean_environment(home, TENURE_TOKEN=key))

    def person(self, role="readwrite", program=None):
        """A new member with that role at a terminal with mobilecli."""
        return MobileCli(self, self.key(role)["secret"], program or MOBILECLI)

    def someone_with(self, secret, program=None):
        """A person at a terminal with mobilecli and this key, valid or not."""
        return MobileCli(self, secret, program or MOBILECLI)

    def sessions(self, key):
        """The response of `GET /api/v1/sessions`, over plain HTTP."""
        status, body = self.tenure.get("/api/v1/sessions", key)
        assert (status, body["object"]) == (200, "list"), body
        return body["data"]


class MobileCli:
    """An unmodified mobilecli with a fresh home; only its environment points it at the server."""

    started = []

    def __init__(self, organization, key, program):
        assert program.exists(), f"{program} is missing: run scripts/test clients, which installs it"
        self.key, self.program = key, program
        self.home = organization.folder / f"person-{next(_numbers)}"
        self.home.mkdir()
        socket_url = organization.tenure.url.replace("http://", "ws://") + "/ws"
        self.environment = clean_environment(
            self.home, MOBILECLI_TOKEN=key, MOBILECLI_FLEET_URL=socket_url, MOBILECLI_REMOTE_ONLY=1,
            MOBILEMCP_DISABLE_TELEMETRY=1, PATH="/usr/bin:/bin",
        )
        MobileCli.started.append(self)

    def start(self, *arguments):
        """Starts a command in the background."""
        return subprocess.Popen(
            [str(self.program), *map(str, arguments)], env=self.environment, cwd=self.home, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )

    def finish(self, process, seconds=60):
        """Waits for a command; returns its exit code and the JSON it printed."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{process.args} still ran after {seconds} s:\n{out}\n{err}") from None
        return process.returncode, json.loads(out) if out.strip().startswith("{") else {"raw": out + err}

    def ok(self, *arguments):
        """Runs a command that must succeed and returns its `data`."""
        process = self.start(*arguments)
        code, answer = self.finish(process)
        assert (code, answer.get("status")) == (0, "ok"), f"mobilecli {' '.join(map(str, arguments))}: {code} {answer}"
        return answer.get("data")

    def works(self, *arguments):
        """Whether a command succeeds; for commands that may fail at first."""
        code, answer = self.finish(self.start(*arguments))
        return (code, answer.get("status")) == (0, "ok")

    def refused(self, *arguments):
        """Runs a command that must be refused and returns the error text."""
        process = self.start(*arguments)
        code, answer = self.finish(process)
        assert code != 0 and answer.get("status") == "error", f"not refused: {arguments}: {code} {answer}"
        sentence = answer["error"]
        for noise in ("unmarshal", "bad handshake", "EOF", "{", "internal"):
            assert noise not in sentence, f"no sentence for a person: {sentence!r}"
        return sentence

    def allocate(self, *arguments):
        """`remote allocate`, which must succeed at once; returns the device."""
        answer = self.ok("remote", "allocate", *arguments)
        assert answer.get("device"), f"not ready: {answer}"
        return answer["device"]

    def devices(self):
        """The devices that are allocated to this person, from `devices`."""
        return self.ok("devices")["devices"]

    def stop(self):
        """Ends the daemon that device commands start."""
        subprocess.run([str(self.program), "daemon", "stop"], env=self.environment, capture_output=True, timeout=20)


def end_everything():
    """Ends all processes left of this run: programs, daemons and their children."""
    for client in MobileCli.started:
        client.stop()
    MobileCli.started.clear()
    for program in reversed(list(Program.running)):
        program.stop()
    for pid in leftovers():
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL)


def python():
    """The path of the Python that runs the tests."""
    return sys.executable
