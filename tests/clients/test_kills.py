"""kill -9 under load: what was acknowledged is there afterwards, and what was revoked is never accepted again.

16 clients sign in, revoke, create and release, and write down what they were told. `TENURE_TEST_KILLS` is how often the
server is killed (the acceptance run, which is the one line of `bench/kills`: 1000)."""

import base64
import http.client
import json
import os
import random
import threading
import time
import urllib.parse

import pytest

import harness

CLIENTS, DEVICES = 16, 4
KILLS = int(os.environ.get("TENURE_TEST_KILLS", "20"))
ROUNDS = int(os.environ.get("TENURE_TEST_REVOKES", "40"))
PASSWORD = "correct horse battery staple"
# Passwords are hashed cheaply, for the load is meant for the store; sessions must not push out others. A sign-in counts as
# failed until it succeeded: those that a kill cuts off stay so for a while.
CHEAP = {"TENURE_ARGON2_MEMORY": "64KiB", "TENURE_ARGON2_PASSES": "1", "TENURE_LOGINS_PER_USER": "100000",
         "TENURE_SIGN_IN_ATTEMPTS": "100000"}
AUTH, ANDROID = "/frontend/api/v1/auth", {"filters": [{"attribute": "platform", "operator": "EQUALS", "value": "android"}]}


class Line:
    """One client's connection, opened anew when it breaks."""

    def __init__(self, url):
        self.address, self.connection = urllib.parse.urlparse(url).netloc, None

    def call(self, method, path, credential=None, body=None):
        """Status and body; status 0 when there was no whole answer: then nobody knows what was done."""
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body), "application/json"
        try:
            self.connection = self.connection or http.client.HTTPConnection(self.address, timeout=10)
            self.connection.request(method, path, data, headers)
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException):
            if self.connection:
                self.connection.close()
            self.connection = None
            return 0, None


    def get(self, path, credential):
        """Reads something of a server that is there: an old connection may have to be noticed as such first."""
        for _ in range(5):
            status, answer = self.call("GET", path, credential)
            if status not in (0, 503, 504):
                break
        return status, answer


def session_of(token):
    """The id of the login session that a token names."""
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sid"]


class Client:
    """Somebody who does things and writes down what was acknowledged."""

    def __init__(self, organization, number):
        self.line, self.random = Line(organization.tenure.url), random.Random(number)
        self.email = organization.login(PASSWORD)
        made = organization.tenure.admin("key", "create", "--user", self.email, "--org", organization.id, "--wire", "probe")
        self.key = made["secret"]
        # By what they are: credentials that are good, and those that must never be accepted again; sessions that are
        # there; holds that are over.
        self.good, self.revoked, self.made, self.over = {}, [], [], []
        self.wrong, self.acknowledged = [], 0

    def expect(self, what, status, answer, *expected):
        """Whether it was done; nobody knows when there was no answer, or the server was about to stop."""
        if status in expected:
            self.acknowledged += 1
            return True
        if status not in (0, 503, 504):
            self.wrong.append(f"{what}: {status} {answer}")
        return False

    def sign_in(self):
        status, answer = self.line.call("POST", f"{AUTH}/sign-in", None, {"email": self.email, "password": PASSWORD})
        if self.expect("sign in", status, answer, 200):
            token = answer["jwt-token"]["token"]
            self.good[token] = f"{AUTH}/session/{session_of(token)}"

    def new_key(self):
        status, answer = self.line.call("POST", f"{AUTH}/api-token", self.key, {})
        if self.expect("make a key", status, answer, 200):
            self.good[answer["token"]] = f"{AUTH}/api-token/{answer['id']}"

    def revoke(self):
        if not self.good:
            return
        credential = self.random.choice(list(self.good))
        # Whether the answer arrives or not: from here on nobody counts on it.
        path = self.good.pop(credential)
        status, answer = self.line.call("DELETE", path, self.key)
        if self.expect("revoke", status, answer, 204):
            self.revoked.append(credential)
            self.is_refused(credential)

    def is_refused(self, credential):
        status, answer = self.line.call("GET", "/frontend/api/v1/user/current", credential)
        if status not in (0, 401, 503, 504):
            self.wrong.append(f"a revoked credential is accepted: {status} {answer}")

    def create(self):
        status, answer = self.line.call("POST", "/api/v1/sessions", self.key)
        if self.expect("create", status, answer, 201):
            self.made.append(answer["id"])

    def release(self):
        if not self.made:
            return
        session = self.random.choice(self.made[-20:])
        path = f"/api/v1/sessions/{session}"
        status, answer = self.line.call("POST", f"{path}/devices", self.key, ANDROID)
        # A session ends by itself some time after its last hold.
        if status == 409 or not self.expect("ask for a device", status, answer, 201, 202):
            return
        hold = answer["allocationId"]
        status, answer = self.line.call("POST", f"{path}/devices/{hold}/release", self.key)
        if self.expect("release", status, answer, 202):
            self.over.append((session, hold))

    def run(self, end):
        deeds = [self.sign_in, self.new_key, self.revoke, self.revoke, self.create, self.release]
        while not end.is_set() and not self.wrong:
            self.random.choice(deeds)()
            if self.revoked:
                self.is_refused(self.random.choice(self.revoked))

    def check(self, newest=None):
        """That all that was acknowledged is so; of each kind only the newest ones, if so many are named."""
        some = slice(-newest if newest else None, None)
        for credential in self.revoked[some]:
            status, answer = self.line.get("/frontend/api/v1/user/current", credential)
            if status != 401:
                self.wrong.append(f"a revoked credential is accepted: {status} {answer}")
        for credential in list(self.good)[some]:
            status, answer = self.line.get("/frontend/api/v1/user/current", credential)
            if (status, (answer or {}).get("email")) != (200, self.email):
                self.wrong.append(f"an acknowledged credential is lost: {status} {answer}")
        for session in self.made[some]:
            status, answer = self.line.get(f"/api/v1/sessions/{session}", self.key)
            if status != 200:
                self.wrong.append(f"an acknowledged session is lost: {status} {answer}")
        for session, hold in self.over[some]:
            status, answer = self.line.get(f"/api/v1/sessions/{session}/devices", self.key)
            found = [one["status"] for one in (answer or {}).get("data", []) if one["id"] == hold]
            if (status, found) != (200, ["released"]):
                self.wrong.append(f"an acknowledged release is lost: {status} {found}")


def each(clients, deed):
    """Does it for all clients at the same time, to the end."""
    threads = [threading.Thread(target=deed, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    return threads


@pytest.fixture
def cheap(request, tmp_path, sqlite_or_postgres):
    """A Tenure that hashes passwords cheaply, on a database of its own or one that others have had."""
    tenure = harness.Tenure(sqlite_or_postgres, tmp_path, **CHEAP)
    yield tenure
    assert tenure.program.stop() == 0, f"the server did not end well:\n{tenure.program.tail()}"


@pytest.fixture(params=["sqlite", "postgres"])
def sqlite_or_postgres(request, tmp_path):
    """A database: a new file, or the run's database in PostgreSQL."""
    return f"sqlite:{tmp_path / 'tenure.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")


def test_kill_9_loses_nothing_that_was_acknowledged(cheap):
    organization = cheap.organization()
    host = organization.host("--simulate", f"android={DEVICES}", name="rack")
    clients = [Client(organization, number) for number in range(CLIENTS)]
    key, line = clients[0].key, Line(cheap.url)
    session = line.call("POST", "/api/v1/sessions", key)[1]["id"]
    asked = lambda: line.call("POST", f"/api/v1/sessions/{session}/devices", key, ANDROID)[0] in (201, 202)
    host.until("its devices are known", asked)
    when = random.Random(9)
    for kill in range(KILLS):
        end = threading.Event()
        threads = each(clients, lambda client: client.run(end))
        time.sleep(when.uniform(0.05, 0.6))
        cheap.program.kill()
        end.set()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads), "a client never came to an end"
        cheap.start()
        for thread in each(clients, lambda client: client.check(newest=5)):
            thread.join(60)
        assert not any(client.wrong for client in clients), (kill, [wrong for client in clients for wrong in client.wrong[:2]])
    for thread in each(clients, lambda client: client.check()):
        thread.join(600)
    wrong = [wrong for client in clients for wrong in client.wrong]
    assert not wrong, wrong[:5]
    total = lambda of: sum(len(getattr(client, of)) for client in clients)
    print(
        f"{KILLS} kills: {sum(client.acknowledged for client in clients)} acknowledged; {total('good')} credentials good, "
        f"{total('revoked')} revoked, {total('made')} sessions, {total('over')} releases"
    )
    assert total("revoked") >= KILLS and total("made") >= KILLS and total("over") > 0


class Register:
    """One credential that is good until it is revoked, and everybody's tries to use it."""

    def __init__(self, servers, credential):
        self.servers, self.credential = servers, credential
        self.tries, self.lock, self.end = [], threading.Lock(), threading.Event()

    def use(self, number):
        line = Line(self.servers[number % len(self.servers)].url)
        while not self.end.is_set():
            began = time.monotonic()
            status, _ = line.call("GET", "/frontend/api/v1/user/current", self.credential)
            with self.lock:
                self.tries.append((began, status))


def revoke_while_used(servers, client, deed):
    """Revokes a credential on the first server while 16 clients use it on all of them."""
    before = set(client.good)
    deed()
    (credential,) = set(client.good) - before
    path = client.good.pop(credential)
    register = Register(servers, credential)
    threads = [threading.Thread(target=register.use, args=(number,), daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    harness.wait_until("it is used", lambda: sum(status == 200 for _, status in register.tries) >= CLIENTS)
    status, answer = client.line.call("DELETE", path, client.key)
    answered = time.monotonic()
    assert status == 204, (status, answer)
    harness.wait_until("it is used no more", lambda: sum(began > answered for began, _ in register.tries) >= CLIENTS)
    register.end.set()
    for thread in threads:
        thread.join(30)
    late = [status for began, status in register.tries if began > answered]
    assert set(late) == {401}, f"{len(late)} tries began after the answer: {sorted(set(late))}"
    assert {status for _, status in register.tries} == {200, 401}
    return len(late)


def test_after_a_revoke_nothing_that_begins_later_succeeds(cheap):
    client, late = Client(cheap.organization(), 1), 0
    for number in range(ROUNDS):
        late += revoke_while_used([cheap], client, client.sign_in if number % 2 else client.new_key)
    print(f"{ROUNDS} revokes, {late} requests that began after one")


def test_nor_on_another_server_of_the_same_database(postgres, tmp_path):
    one, two = (harness.Tenure(postgres, tmp_path / name, **CHEAP) for name in folders(tmp_path, "one", "two"))
    client, late = Client(one.organization(), 2), 0
    for number in range(ROUNDS):
        late += revoke_while_used([one, two], client, client.sign_in if number % 2 else client.new_key)
    print(f"{ROUNDS} revokes, {late} requests that began after one")
    for tenure in (one, two):
        assert tenure.program.stop() == 0, tenure.program.tail()


def folders(parent, *names):
    """New folders below one."""
    for name in names:
        (parent / name).mkdir()
        yield name
