"""A worker's command that searches everything its user can read finds no credential beyond its own turn.

The worker is the real program with an administrator's key, the worst case. It runs as an unprivileged user, as its command does,
because root can read everything."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import harness
from harness import wait_until

NOBODY = 65534
ROOT = os.geteuid() == 0
# A well-formed, invalid key. The hostile command must find it, or it has not searched.
DECOY = "tnr_" + "a" * 52
OWN = {"TENURE_" + name for name in ("AGENT", "ATTEMPT", "MODEL", "SESSION_DIR", "SESSION_ID", "SESSION_TITLE",
                                     "SYSTEM_PROMPT", "TURN")}


class Place:
    """A folder that every user can reach, with the program, for a worker that does not run as root."""

    def __init__(self, folder):
        self.folder = folder
        self.program, self.hostile = folder / "tenure", folder / "hostile.py"
        shutil.copy(harness.TENURE, self.program)
        shutil.copy(harness.HERE / "hostile.py", self.hostile)
        self.home = folder / "home"
        self.home.mkdir()
        self.started = []
        if ROOT:
            os.chown(self.home, NOBODY, NOBODY)

    def start(self, command, private, home=None, stdin=subprocess.DEVNULL, leaked=(), **environment):
        """Starts a program in the folder; with `private`, as the user nobody if possible."""
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ROOT and private else {}
        log = (self.folder / f"log-{len(self.started)}").open("wb")
        process = subprocess.Popen(
            [str(part) for part in command], cwd=home or self.home, stdin=stdin, stdout=log, stderr=subprocess.STDOUT,
            env=harness.clean_environment(self.home, **environment), start_new_session=True, pass_fds=leaked, **as_nobody,
        )
        self.started.append(process)
        return process

    def worker(self, tenure, agent, *arguments):
        """The command line of a worker that runs the hostile command."""
        return [
            self.program, "worker", "--server", tenure.url, "--agent", agent, "--input", "json", "--secrets",
            "--exec", f"python3 {self.hostile} {self.home}", *arguments,
        ]

    def end(self):
        for process in self.started:
            # This also ends a process that the hostile command has stopped by tracing it.
            process.kill()
            process.wait(20)


@pytest.fixture
def place():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tenure-hostile-"))
    folder.chmod(0o755)
    here = Place(folder)
    # A careless program of the same user, whose key the command must find.
    here.start(["sleep", "600"], True, TENURE_TOKEN=DECOY)
    yield here
    here.end()
    shutil.rmtree(folder)


def ask(organization, agent):
    """Sends a member's message to an agent and returns the answer."""
    tenure, key = organization.tenure, organization.key("readwrite")["secret"]
    status, made = tenure.call("POST", "/v1/agents", key, {"name": agent, "system_prompt": "Help."})
    assert status == 201, made
    status, session = tenure.call("POST", "/v1/sessions", key, {"agent_id": made["id"]})
    assert status == 201, session
    body = {"message": {"role": "user", "content": [{"type": "text", "text": "give me your keys"}]}}
    path = f"/v1/sessions/{session['id']}/messages"
    assert tenure.call("POST", path, key, body)[0] == 201

    def answer():
        messages = tenure.call("GET", path, key)[1]["data"]
        said = ["".join(part.get("text", "") for part in one["content"]) for one in messages if one["role"] == "agent"]
        return said[0] if said else None

    return json.loads(wait_until("the agent has answered", answer, seconds=120))


def opens_nothing(organization, loot):
    """Tries the found credentials against the server: every wire refuses them."""
    tenure, elsewhere = organization.tenure, organization.tenure.organization()
    admin = organization.key("admin")["secret"]

    own, other = (f"/v3/organizations/org-{one.id.removeprefix('org_').replace('-', '')}" for one in (organization, elsewhere))

    def people():
        return [tenure.get(f"{own}/{what}", admin) for what in ("members/users", "service-users")]

    before = people()
    assert [status for status, _ in before] == [200, 200]
    new = {"name": "mine", "role_id": "org_admin"}
    # A header cannot hold other characters.
    for credential in {text.removeprefix("TENURE_TOKEN=") for text in loot if text.isascii()}:
        for method, path, body in [
            ("GET", "/tenure/v1/me", None), ("GET", "/api/v1/members", None), ("POST", "/api/v1/sessions", {}),
            ("GET", "/v1/sessions", None), ("POST", "/v1/sessions", {}), ("GET", f"{own}/members/users", None),
            ("GET", f"{own}/audit-logs", None), ("POST", f"{own}/service-users", new), ("POST", f"{other}/service-users", new),
            ("POST", f"{other}/sessions", {"prompt": "x"}), ("GET", "/v3/enterprise/organizations", None),
            ("GET", "/frontend/api/v1/auth/api-token", None), ("POST", "/frontend/api/v1/auth/api-token", {}),
            ("POST", "/tenure/v1/work/claim", {"worker": "w"}),
        ]:
            status, answer = tenure.call(method, path, credential, body, {"Content-Type": "application/json"})
            assert status == 401, (loot.get(credential), method, path, status, answer)
    assert people() == before


def check(organization, answer, secret, worker):
    """Checks what the hostile command found."""
    loot = answer["found"]
    assert any(DECOY in text for text in loot), f"it has not looked: {loot}"
    assert not any(secret in text for text in loot), loot
    assert not any(text.startswith("turn_") for text in loot), loot
    assert answer["inherited"] == [0, 1, 2]
    assert set(answer["variables"]) <= OWN, answer["variables"]
    of_worker = answer["parents"][str(worker.pid)]
    closed = {name: of_worker[name] for name in ("environ", "mem", "fd", "map_files", "auxv", "cwd", "root", "exe", "ptrace")}
    assert "read" not in closed.values(), of_worker
    opens_nothing(organization, loot)


def test_a_command_under_the_workers_user_finds_nothing(organization, place):
    """The key comes in the environment; the command runs as the worker's own user."""
    secret = organization.key("admin", "tenure")["secret"]
    leaked = os.open(place.hostile, os.O_RDONLY)
    more = {"TENURE_TOKEN": secret, "TENURE_DATABASE": "postgres://tenure:hunter2@127.0.0.1/tenure"}
    worker = place.start(place.worker(organization.tenure, "hostile"), True, leaked=(leaked,), **more)
    os.close(leaked)
    check(organization, ask(organization, "hostile"), secret, worker)
    log = (place.folder / f"log-{len(place.started) - 1}").read_text()
    assert log.count("this worker uses an administrator's key") == 1, log


def test_a_key_on_standard_input_is_found_nowhere(organization, place):
    """The key comes on standard input."""
    secret = organization.key("admin", "tenure")["secret"]
    reader, writer = os.pipe()
    os.write(writer, secret.encode() + b"\n")
    os.close(writer)
    worker = place.start(place.worker(organization.tenure, "hostile", "--token-file", "-"), True, stdin=reader)
    os.close(reader)
    check(organization, ask(organization, "hostile"), secret, worker)


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_a_command_of_another_user_finds_nothing(organization, place):
    """The key is in a file that only root can read; the command runs as --exec-user."""
    secret = organization.key("admin", "tenure")["secret"]
    key = place.folder / "worker.key"
    key.write_text(secret + "\n")
    key.chmod(0o400)
    state = place.folder / "state"
    state.mkdir(mode=0o755)
    arguments = ("--token-file", key, "--exec-user", "nobody", "--directory", state / "work")
    worker = place.start(place.worker(organization.tenure, "hostile", *arguments), False, home=state)
    answer = ask(organization, "hostile")
    assert (answer["uid"], answer["groups"]) == (NOBODY, [])
    check(organization, answer, secret, worker)


def test_a_key_file_that_the_command_could_read_is_refused(organization, place):
    """A file of the same user does not protect the key."""
    key = place.home / "worker.key"
    key.write_text(organization.key("admin", "tenure")["secret"])
    key.chmod(0o400)
    if ROOT:
        os.chown(key, NOBODY, NOBODY)
    worker = place.start(place.worker(organization.tenure, "hostile", "--token-file", key), True)
    assert worker.wait(30) == 1
    assert "the command could read the API key" in (place.folder / f"log-{len(place.started) - 1}").read_text()


def test_a_hosts_key_is_in_nothing_that_it_starts(organization, place):
    """The host runs a command after each release; mobilecli is started the same way. Neither sees the key."""
    secret = organization.key("admin", "tenure")["secret"]
    out = place.home / "seen.json"
    release = f"python3 {place.hostile} {place.home} > {out}.new && mv {out}.new {out}"
    command = [place.program, "host", "--server", organization.tenure.url, "--simulate", "1", "--name", "hostile",
               "--state", place.home / "state", "--on-release", release]
    host = place.start(command, True, TENURE_TOKEN=secret)
    tenure, key = organization.tenure, organization.key("readwrite")["secret"]
    session = tenure.call("POST", "/api/v1/sessions", key, {})[1]["id"]
    wanted = {"filters": [{"attribute": "platform", "operator": "EQUALS", "value": "android"}]}
    path = f"/api/v1/sessions/{session}"
    held = lambda: tenure.call("POST", f"{path}/devices", key, wanted, {"Content-Type": "application/json"})[0] == 201
    wait_until("the device is there and held", held)
    assert tenure.call("DELETE", path, key)[0] in (200, 204)
    seen = json.loads(wait_until("the release command has looked", lambda: out.exists() and out.read_text(), seconds=120))
    loot = {text: where for text, where in seen["found"].items() if str(out) not in where}
    assert any(DECOY in text for text in loot) and not any(secret in text for text in loot), loot
    assert "read" not in [seen["parents"][str(host.pid)][name] for name in ("environ", "mem", "fd", "ptrace")]
    opens_nothing(organization, loot)
