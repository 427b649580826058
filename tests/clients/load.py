"""Clients that keep using a server and record its responses. Whatever happens to the server meanwhile, everything that it
acknowledged must still be true afterwards."""

import base64
import http.client
import json
import random
import threading
import urllib.parse

PASSWORD = "correct horse battery staple"
# Password hashes are cheap, because the load is meant for the store. Sessions must not push out others. A sign-in counts as
# failed until it succeeds, so one that a kill interrupts counts as failed for a while.
CHEAP = {"TENURE_ARGON2_MEMORY": "64KiB", "TENURE_ARGON2_PASSES": "1", "TENURE_LOGINS_PER_USER": "100000",
         "TENURE_SIGN_IN_ATTEMPTS": "100000"}
AUTH, ANDROID = "/frontend/api/v1/auth", {"filters": [{"attribute": "platform", "operator": "EQUALS", "value": "android"}]}


class Line:
    """One client's connection; opened again when it breaks."""

    def __init__(self, url):
        self.address, self.connection = urllib.parse.urlparse(url).netloc, None
        # The headers of the last response.
        self.headers = {}

    def call(self, method, path, credential=None, body=None, more=None):
        """Status and body. Status 0 means that no complete response arrived, so the outcome is unknown."""
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        headers |= more or {}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body), "application/json"
        try:
            self.connection = self.connection or http.client.HTTPConnection(self.address, timeout=10)
            self.connection.request(method, path, data, headers)
            answer = self.connection.getresponse()
            text, self.headers = answer.read(), answer.headers
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException):
            if self.connection:
                self.connection.close()
            self.connection = None
            return 0, None

    def get(self, path, credential):
        """Reads from a running server. Retries, because an old connection may fail first."""
        for _ in range(5):
            status, answer = self.call("GET", path, credential)
            if status not in (0, 503, 504):
                break
        return status, answer


def session_of(token):
    """The id of a token's login session."""
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sid"]


class Client:
    """A client that records what was acknowledged to it.

    `unknown` are the statuses after which the outcome is unknown: no response (0), or a server that was stopping; with a
    failing disk also 500."""

    def __init__(self, organization, number, unknown=(0, 503, 504)):
        self.unknown = unknown
        self.line, self.random = Line(organization.tenure.url), random.Random(number)
        self.email = organization.login(PASSWORD)
        made = organization.tenure.admin("key", "create", "--user", self.email, "--org", organization.id, "--wire", "probe")
        self.key = made["secret"]
        # Valid credentials; credentials that must never be accepted again; existing sessions; ended holds.
        self.good, self.revoked, self.made, self.over = {}, [], [], []
        self.wrong, self.acknowledged = [], 0
        # The session that makes keys, because a key cannot. It is kept: a sign-in is slow compared to the time between kills.
        self.maker = self.sign_in_to_make_keys()

    def sign_in_to_make_keys(self):
        status, answer = self.line.call("POST", f"{AUTH}/sign-in", None, {"email": self.email, "password": PASSWORD})
        return answer["jwt-token"]["token"] if self.expect("sign in", status, answer, 200) else None

    def expect(self, what, status, answer, *expected):
        """Whether the call is known to have succeeded."""
        if status in expected:
            self.acknowledged += 1
            return True
        if status not in self.unknown:
            self.wrong.append(f"{what}: {status} {answer}")
        return False

    def sign_in(self):
        status, answer = self.line.call("POST", f"{AUTH}/sign-in", None, {"email": self.email, "password": PASSWORD})
        if self.expect("sign in", status, answer, 200):
            token = answer["jwt-token"]["token"]
            self.good[token] = f"{AUTH}/session/{session_of(token)}"

    def new_key(self):
        self.maker = self.maker or self.sign_in_to_make_keys()
        if self.maker is None:
            return
        status, answer = self.line.call("POST", f"{AUTH}/api-token", self.maker, {})
        if status in (401, 403):
            # The session has ended, or was opened too long ago.
            self.maker = None
            return
        if self.expect("make a key", status, answer, 200):
            self.good[answer["token"]] = f"{AUTH}/api-token/{answer['id']}"

    def revoke(self):
        if not self.good:
            return
        credential = self.random.choice(list(self.good))
        # From here on the credential is not expected to work, whether or not the response arrives.
        path = self.good.pop(credential)
        status, answer = self.line.call("DELETE", path, self.key)
        if self.expect("revoke", status, answer, 204):
            self.revoked.append(credential)
            self.is_refused(credential)

    def is_refused(self, credential):
        status, answer = self.line.call("GET", "/frontend/api/v1/user/current", credential)
        if status not in (401, *self.unknown):
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
        # Tenure ends a session some time after its last hold.
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
        """Checks that everything acknowledged is true; of each kind only the newest `newest`, if given."""
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
    """Starts the deed for all clients at once; returns the threads."""
    threads = [threading.Thread(target=deed, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    return threads


class Crowd:
    """Several clients in an organization with a few devices."""

    def __init__(self, tenure, clients=16, devices=4, **more):
        organization = tenure.organization()
        host = organization.host("--simulate", f"android={devices}", name="rack")
        self.clients = [Client(organization, number, **more) for number in range(clients)]
        key, line = self.clients[0].key, Line(tenure.url)
        session = line.call("POST", "/api/v1/sessions", key)[1]["id"]
        asked = lambda: line.call("POST", f"/api/v1/sessions/{session}/devices", key, ANDROID)[0] in (201, 202)
        host.until("its devices are known", asked)

    def work(self, meanwhile):
        """Runs the clients until `meanwhile` has returned."""
        end = threading.Event()
        threads = each(self.clients, lambda client: client.run(end))
        try:
            meanwhile()
        finally:
            end.set()
            for thread in threads:
                thread.join(30)
        assert not any(thread.is_alive() for thread in threads), "a client did not finish"

    def check(self, newest=None):
        """Checks all clients; of each kind only the newest `newest`, if given."""
        for thread in each(self.clients, lambda client: client.check(newest)):
            thread.join(600)
        assert not self.wrong(), self.wrong()[:5]

    def wrong(self):
        return [wrong for client in self.clients for wrong in client.wrong]

    def total(self, of):
        return sum(len(getattr(client, of)) for client in self.clients)

    def __str__(self):
        acknowledged = sum(client.acknowledged for client in self.clients)
        return (
            f"{acknowledged} acknowledged; {self.total('good')} credentials good, {self.total('revoked')} revoked, "
            f"{self.total('made')} sessions, {self.total('over')} releases"
        )
