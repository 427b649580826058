"""Other clients of the same wire: mobilecli 1.0.0 (allocates by RPC) and mobilewright's fleet client."""

import json
import subprocess

import pytest

import harness
from harness import wait_until


def test_mobilecli_1_0_0_allocates_and_releases_by_rpc(simulated):
    """`fleet.allocate` and `fleet.release`, the calls of older clients, ready and queued."""
    person = simulated.person(program=harness.MOBILECLI_LEGACY)
    first, second = (person.ok("remote", "allocate", "--platform", "ios") for _ in range(2))
    assert first["allocationId"] != second["allocationId"]
    serials = [d["id"] for d in person.devices()]
    assert len(set(serials)) == 2
    third = person.ok("remote", "allocate", "--platform", "ios")
    assert third["state"] == "allocating"
    person.ok("remote", "release", "--device", serials[0])
    served = wait_until(
        "the third has a device",
        lambda: [
            d for d in person.devices()
            if d["state"] == "online" and d["provider"]["allocationId"] == third["allocationId"]
        ],
    )
    assert served[0]["id"] == serials[0]
    assert person.ok("device", "info", "--device", serials[0])


class Mobilewright:
    """mobilewright's FleetApiClient, driven line by line through mobilewright.mjs."""

    def __init__(self, organization, key):
        environment = harness.clean_environment(
            organization.folder, API_URL=organization.tenure.url, API_KEY=key, MOBILEWRIGHT_DISABLE_TELEMETRY=1
        )
        command = ["node", str(harness.HERE / "mobilewright.mjs")]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, method, *arguments):
        """Starts a call without waiting for its result."""
        self.process.stdin.write(json.dumps([method, *arguments]) + "\n")

    def answer(self):
        """The result of the oldest pending call."""
        return json.loads(self.process.stdout.readline() or '{"error": "the client ended"}')

    def call(self, method, *arguments):
        """Makes one call and returns its result; fails when it is refused."""
        self.ask(method, *arguments)
        answer = self.answer()
        assert "error" not in answer, answer
        return answer.get("result")


@pytest.fixture
def mobilewright(simulated):
    """Starts fleet clients with a key; they end with the test."""
    started = []

    def start(key):
        started.append(Mobilewright(simulated, key))
        return started[-1]

    yield start
    for client in started:
        client.process.kill()
        client.process.communicate()


ANDROID = [{"attribute": "platform", "operator": "EQUALS", "value": "android"}]
IOS = [{"attribute": "platform", "operator": "EQUALS", "value": "ios"}]


def test_mobilewright_holds_several_devices_in_one_session(simulated, mobilewright):
    """One session for the whole run: allocate, poll while in the queue, release each device."""
    key = simulated.key()["secret"]
    client, other = mobilewright(key), mobilewright(key)
    session = client.call("createSession")
    first, second = (client.call("allocateDevice", session, IOS) for _ in range(2))
    assert {d["status"] for d in (first, second)} == {"in_use"}
    third_session = other.call("createSession")
    other.ask("allocateDevice", third_session, IOS)
    reading = simulated.person("readonly").key
    path = f"/api/v1/sessions/{third_session}/devices"
    wait_until("it waits", lambda: [d for d in simulated.tenure.get(path, reading)[1]["data"]
                                    if d["status"] == "provisioning" and "serial" not in d["info"]])
    client.call("releaseDevice", session, first["info"]["serial"])
    third = other.answer()["result"]
    assert (third["status"], third["info"]["serial"]) == ("in_use", first["info"]["serial"])
    for held, serial in ((session, second["info"]["serial"]), (third_session, third["info"]["serial"])):
        client.call("releaseDevice", held, serial)
    wait_until("both sessions are released", lambda: all(s.get("releasedAt") for s in simulated.sessions(reading)))


def test_mobilewright_is_told_the_code_of_a_refusal(simulated, mobilewright):
    """Its users see `code — message`: the code of the limit is concurrency_limit."""
    simulated.limit(1)
    client = mobilewright(simulated.key()["secret"])
    session = client.call("createSession")
    client.call("allocateDevice", session, ANDROID)
    client.ask("allocateDevice", session, ANDROID)
    assert "429: concurrency_limit — " in client.answer()["error"]
