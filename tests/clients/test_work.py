"""Many workers, many sessions, and kill -9 of workers and server: no message is lost or answered twice, no event is missed.

By default a few; `TENURE_TEST_WORK=full` is the acceptance run: 50 workers, 500 sessions with 10 messages each."""

import collections
import http.client
import json
import os
import random
import threading
import time
import urllib.parse
import uuid

import pytest

from harness import wait_until

FULL = os.environ.get("TENURE_TEST_WORK") == "full"
WORKERS, SESSIONS, MESSAGES, READERS, KILLS = (50, 500, 10, 50, 40) if FULL else (6, 40, 5, 8, 6)
POSTERS = 20
# An agent that is slow.
COMMAND = "printf 'answer '; sleep 0.0$TENURE_TURN; printf 'to '; cat"


class Work:
    """The people who send messages, and what was acknowledged to them."""

    def __init__(self, organization):
        self.organization, self.tenure = organization, organization.tenure
        self.key, self.workers = organization.key("admin")["secret"], []
        self.random = random.Random(2026)
        self.sent = collections.defaultdict(list)
        self.wrong = []

    def call(self, method, path, body=None):
        """Repeats a request until it is answered; its idempotency key makes that safe."""
        headers = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        while True:
            status, answer = self.tenure.call(method, path, self.key, body, headers)
            # The server is down, or still busy with the first request.
            if status not in (0, 409, 502, 503, 504):
                return status, answer
            time.sleep(0.05)

    def worker(self):
        self.workers.append(self.organization.worker(COMMAND, agent="default"))

    def create(self):
        for _ in range(SESSIONS):
            status, session = self.call("POST", "/v1/sessions", {})
            assert status == 201, (status, session)
            self.sent[session["id"]] = []

    def post(self, sessions):
        """Sends these sessions their messages, one session after another."""
        for number in range(MESSAGES):
            for session in sessions:
                sent = self.sent[session]
                text = f"{session} {number}"
                body = {"message": {"role": "user", "content": [{"type": "text", "text": text}]}}
                status, answer = self.call("POST", f"/v1/sessions/{session}/messages", body)
                if status != 201:
                    self.wrong.append((status, answer))
                sent.append(text)

    def kill_now_and_then(self):
        for number in range(KILLS):
            time.sleep(self.random.uniform(0.5, 2.0))
            if number % 3 == 0:
                self.tenure.kill_and_restart()
            else:
                for worker in self.random.sample(self.workers, max(1, WORKERS // 10)):
                    worker.kill()
                    self.workers.remove(worker)
                    self.worker()

    def at_rest(self, session):
        """The session's state, when none of its messages waits for a worker; else None."""
        state = self.call("GET", f"{self.devin}/{session.removeprefix('session_')}")[1]
        if state["status"] == "suspended":
            return state
        return state if state["status"] == "running" and state["status_detail"] == "waiting_for_user" else None

    @property
    def devin(self):
        return f"/v3/organizations/{self.organization.id}/sessions"

    def check(self, session):
        """Checks that each message has one answer, or that the session sleeps because workers were lost."""
        state = wait_until(f"{session} is at rest", lambda: self.at_rest(session), seconds=300)
        status, page = self.call("GET", f"/v1/sessions/{session}/messages?limit=100")
        assert status == 200, page
        messages = page["data"]
        text = lambda message: "".join(part.get("text", "") for part in message["content"])
        asked = [text(m) for m in messages if m["role"] == "user"]
        answered = collections.Counter(text(m) for m in messages if m["role"] == "agent")
        assert asked == self.sent[session], "each message is there once, in order"
        assert all(count == 1 for count in answered.values()), answered
        assert set(answered) <= {f"answer to {text}" for text in asked}, answered
        unanswered = len(asked) - len(answered)
        if state["status"] == "running":
            assert unanswered == 0, (session, state, asked, answered)
        return unanswered

    def events(self, session):
        """All events of a session, page by page."""
        events, since = [], None
        while True:
            query = "?" + urllib.parse.urlencode({"limit": 1000} | ({"since_id": since} if since else {}))
            status, page = self.call("GET", f"/v1/sessions/{session}/events{query}")
            assert status == 200, page
            if not page["data"]:
                return events
            events += page["data"]
            since = events[-1]["id"]


class Reader(threading.Thread):
    """Reads a session's stream; reconnects with the last seen id whenever the stream ends or the reader itself leaves."""

    def __init__(self, work, session):
        super().__init__(daemon=True)
        self.work, self.session, self.seen, self.over = work, session, [], threading.Event()

    def run(self):
        address = urllib.parse.urlsplit(self.work.tenure.url)
        while not self.over.is_set():
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=2)
            since = f"?since_id={self.seen[-1]}" if self.seen else ""
            try:
                headers = {"Authorization": self.work.key}
                connection.request("GET", f"/v1/sessions/{self.session}/sse{since}", headers=headers)
                self.read(connection.getresponse())
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            finally:
                connection.close()

    def read(self, answer):
        fields, left = {}, random.randint(20, 200)
        while left and not self.over.is_set():
            line = answer.readline()
            if not line:
                return
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name:
                fields[name] = value.strip()
            elif "id" in fields:
                assert json.loads(fields["data"])["id"] == fields["id"]
                self.seen.append(fields["id"])
                fields, left = {}, left - 1
            else:
                fields = {}


@pytest.fixture
def work(organization):
    return Work(organization)


def test_every_message_is_answered_once_whatever_is_killed(work):
    """Workers and the server are killed at random while people write and read."""
    work.create()
    for _ in range(WORKERS):
        work.worker()
    watched = work.random.sample(sorted(work.sent), READERS)
    readers = [Reader(work, session) for session in watched]
    for reader in readers:
        reader.start()
    # An interrupted request keeps its idempotency key busy for a while. Several posters keep one such wait from delaying all sessions.
    sessions = list(work.sent)
    posters = [threading.Thread(target=work.post, args=(sessions[n::POSTERS],), daemon=True) for n in range(POSTERS)]
    for poster in posters:
        poster.start()
    work.kill_now_and_then()
    for poster in posters:
        poster.join(600)
    assert not any(poster.is_alive() for poster in posters) and not work.wrong, work.wrong[:3]

    unanswered = sum(work.check(session) for session in work.sent)
    asked = SESSIONS * MESSAGES
    assert unanswered < asked / 2, "hardly anything was answered"

    everything = {session: work.events(session) for session in work.sent}
    for session, events in everything.items():
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1)), session
    for reader in readers:
        ids = [event["id"] for event in everything[reader.session]]
        wait_until("the reader has seen all events", lambda: len(reader.seen) >= len(ids), seconds=60)
        reader.over.set()
        assert reader.seen == ids, reader.session
