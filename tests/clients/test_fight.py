"""64 clients compete for 8 devices over plain HTTP; then the same while the server and the host are killed with -9.

`TENURE_TEST_FIGHT_SECONDS` is how long each fight lasts (the acceptance run: 60)."""

import http.client
import itertools
import os
import threading
import time

import pytest

from harness import wait_until

CLIENTS, DEVICES = 64, 8
SECONDS = float(os.environ.get("TENURE_TEST_FIGHT_SECONDS", "8"))
ANDROID = {"filters": [{"attribute": "platform", "operator": "EQUALS", "value": "android"}]}


class Fight:
    """The clients, and what was acknowledged to them."""

    def __init__(self, organization):
        self.tenure, self.key = organization.tenure, organization.key("readwrite")["secret"]
        self.lock, self.over = threading.Lock(), threading.Event()
        self.holders, self.wrong, self.turns = {}, [], 0
        self.sessions, self.asked = set(), set()

    def call(self, method, path, body=None):
        """Sends a request; status 0 when the server was down or ended before it answered."""
        try:
            return self.tenure.call(method, "/api/v1" + path, self.key, body)
        except (OSError, http.client.HTTPException):
            return 0, None

    def acknowledged(self, serial, allocation):
        """Records that this allocation holds this device; no other allocation can."""
        with self.lock:
            other = self.holders.setdefault(serial, allocation)
            if other != allocation:
                self.wrong.append(f"{serial} is held by {other} and by {allocation}")
            self.turns += 1

    def released(self, serial):
        with self.lock:
            self.holders.pop(serial, None)

    def client(self):
        """Takes a device, holds it for a moment and releases it, again and again in one session."""
        session = None
        while not self.over.is_set():
            if session is None:
                status, answer = self.call("POST", "/sessions")
                session = answer["id"] if status == 201 else None
                if session:
                    with self.lock:
                        self.sessions.add(session)
                continue
            status, answer = self.call("POST", f"/sessions/{session}/devices", ANDROID)
            if status in (201, 202):
                with self.lock:
                    self.asked.add(answer["allocationId"])
                self.turn(session, answer["allocationId"])
            elif status == 0:
                # It is unknown whether the request was made, so everything of this session is released.
                self.give_back_all(session)
            else:
                self.wrong.append(f"asked for a device: {status} {answer}")
                return
        self.give_back_all(session)

    def turn(self, session, allocation):
        hold = self.wait_for(session, allocation)
        if hold is None:
            return
        serial = hold["info"]["serial"]
        self.acknowledged(serial, allocation)
        again = self.wait_for(session, allocation)
        if again is not None and again["info"].get("serial") != serial:
            self.wrong.append(f"{allocation} held {serial} and is now {again}")
        # From here on another client may hold it, whether or not the response arrives.
        self.released(serial)
        self.give_back(session, allocation)

    def wait_for(self, session, allocation):
        """Polls until the allocation holds a device; None when the fight ends first."""
        while not self.over.is_set():
            status, answer = self.call("GET", f"/sessions/{session}/devices")
            if status == 200:
                (hold,) = [hold for hold in answer["data"] if hold["id"] == allocation]
                if hold["status"] == "in_use":
                    return hold
                if hold["status"] == "released":
                    self.wrong.append(f"{allocation} was acknowledged and is gone: {hold}")
                    return None
            time.sleep(0.02)
        return None

    def give_back(self, session, allocation):
        while self.call("POST", f"/sessions/{session}/devices/{allocation}/release")[0] != 202:
            time.sleep(0.05)

    def give_back_all(self, session):
        if session is None:
            return
        while True:
            status, answer = self.call("GET", f"/sessions/{session}/devices")
            if status == 200:
                break
            time.sleep(0.05)
        for hold in answer["data"]:
            if hold["status"] != "released":
                self.released(hold["info"].get("serial"))
                self.give_back(session, hold["id"])

    def run(self, seconds, meanwhile):
        threads = [threading.Thread(target=self.client, daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.wrong:
            meanwhile()
        self.over.set()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads), "a client did not finish"

    def check(self):
        """Checks that no device was held twice, none stays held, and none is held without a request."""
        assert not self.wrong, self.wrong[:5]
        assert self.turns >= DEVICES, "hardly anybody got a device"
        for session in self.sessions:
            status, answer = self.call("GET", f"/sessions/{session}/devices")
            assert status == 200
            assert all(hold["status"] == "released" for hold in answer["data"]), answer
        path = "/sessions?limit=500"
        while path:
            status, page = self.call("GET", path)
            assert status == 200
            for session in page["data"]:
                # A session whose creation was interrupted before it was acknowledged holds no device.
                assert session["id"] in self.sessions or session["devices"] == []
            path = f"/sessions?limit=500&before={page['nextCursor']}" if "nextCursor" in page else None


@pytest.fixture
def rack(organization):
    """A host with the devices, by the name `rack`."""
    host = organization.host("--simulate", f"android={DEVICES}", name="rack")
    person = organization.person("readonly")
    host.until("its devices are listed", lambda: person.ok("remote", "list-devices")["devices"])
    return host


def test_nobody_holds_what_another_one_holds(organization, rack):
    """64 clients, 8 devices, no accidents."""
    fight = Fight(organization)
    fight.run(SECONDS, lambda: time.sleep(0.2))
    fight.check()


def test_acknowledged_holds_survive_kill_9(organization, rack):
    """The same while the server, and then the host, are killed without warning."""
    fight = Fight(organization)
    hosts = [rack]
    victims = itertools.cycle(["server", "host", "server"])

    def kill():
        time.sleep(1.5)
        if next(victims) == "server":
            organization.tenure.kill_and_restart()
        else:
            hosts.pop().kill()
            hosts.append(organization.host("--simulate", f"android={DEVICES}", name="rack"))

    fight.run(SECONDS * 2, kill)
    wait_until("the server answers", lambda: fight.call("GET", "/organizations")[0] == 200)
    fight.check()
