"""The fake phone itself: the real `mobilecli server` must treat it as a real phone.

These tests need no server. When they fail, the tests with a real device prove nothing.
"""

import base64
import json
import urllib.request

import pytest

import harness
from pictures import size_of_png


@pytest.fixture
def rpc(tmp_path, phone_environment):
    """Calls a method of a real `mobilecli server` with the fake phone."""
    address = f"127.0.0.1:{harness.free_port()}"
    environment = harness.clean_environment(tmp_path, **phone_environment)
    command = [harness.MOBILECLI, "server", "start", "--listen", address]
    server = harness.Program("mobilecli", command, tmp_path, environment)

    def call(method, **parameters):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(f"http://{address}/rpc", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer = json.load(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def ready():
        try:
            return call("devices.list")
        except OSError:
            return None

    server.until("mobilecli answers", ready)
    yield call
    server.stop()


def test_mobilecli_takes_the_fake_phone_for_a_real_one(rpc, phone_environment):
    """A device of type `real` that answers with a screenshot, apps and a screen, and takes taps."""
    (device,) = rpc("devices.list")["devices"]
    assert {k: device[k] for k in ("id", "name", "platform", "type", "version", "state")} == {
        "id": "FAKE0001", "name": "Fake Pixel", "platform": "android", "type": "real", "version": "16",
        "state": "online",
    }
    picture = rpc("device.screenshot", deviceId="FAKE0001", format="png")["data"]
    assert size_of_png(base64.b64decode(picture.partition(",")[2])) == (1080, 2400)
    assert "com.example.app" in json.dumps(rpc("device.apps.list", deviceId="FAKE0001"))
    assert "Sign in" in json.dumps(rpc("device.dump.ui", deviceId="FAKE0001"))
    rpc("device.io.tap", deviceId="FAKE0001", x=3, y=4)
    assert "-s FAKE0001 shell input tap 3 4" in phone_environment["FAKE_ADB_LOG"].read_text().splitlines()
