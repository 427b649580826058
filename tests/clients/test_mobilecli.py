"""The unmodified mobilecli 1.0.9 against a Tenure server with simulated devices.

A person at a terminal lists, allocates, drives and releases devices. Every test runs on both databases and in its own organization.
"""

import re

from harness import wait_until
from pictures import size_of_png


def offers(person, platform):
    """The offers of a platform in `remote list-devices`."""
    return [d for d in person.ok("remote", "list-devices")["devices"] if d["platform"] == platform]


def major(version):
    """The first number of a version."""
    return int(re.match(r"\d+", version).group())


def allocation_of(device):
    """The allocation that a device of `devices` belongs to."""
    return device["provider"]["allocationId"]


def test_list_devices_shows_each_offer_once(simulated):
    """Each offer is complete and listed once, and simulated devices are not listed as real."""
    shown = simulated.person("readonly").ok("remote", "list-devices")["devices"]
    keys = [(d["platform"], d["type"], d["name"], d["version"]) for d in shown]
    assert len(keys) == len(set(keys))
    assert {(d["platform"], d["type"]) for d in shown} == {("android", "emulator"), ("ios", "simulator")}
    assert all(d["name"] and d["version"] for d in shown)


def test_allocate_by_platform_version_range_and_name_glob(simulated):
    """The filters of `remote allocate` are ANDed, and the device matches all of them."""
    person = simulated.person()
    for platform in ("android", "ios"):
        offer = offers(person, platform)[0]
        low = major(offer["version"])
        device = person.allocate(
            "--platform", platform, "--version", f">={low}", "--version", f"<{low + 1}",
            "--name", offer["name"][:4] + "*",
        )
        assert device["platform"] == platform
        assert major(device["version"]) == low
        assert device["name"].startswith(offer["name"][:4])
        assert device["state"] == "online"


def test_allocated_devices_are_listed_until_they_are_released(simulated):
    """`devices` shows only the caller's devices, and not a released one."""
    person, colleague = simulated.person(), simulated.person()
    device = person.allocate("--platform", "android")
    (listed,) = person.devices()
    assert (listed["id"], listed["state"]) == (device["id"], "online")
    assert listed["provider"]["type"] == "mobilenext" and listed["provider"]["sessionId"]
    assert colleague.devices() == []
    person.ok("remote", "release", "--device", device["id"])
    assert person.devices() == []
    again = person.refused("remote", "release", "--device", device["id"])
    assert device["id"] in again and "not allocated" in again


def test_drive_an_android_device(simulated, tmp_path):
    """Every command of mobilecli for a remote device reaches a simulated device."""
    drive(simulated.person(), "android", tmp_path)


def test_drive_an_ios_device(simulated, tmp_path):
    """The same commands on the other platform."""
    drive(simulated.person(), "ios", tmp_path)


def drive(person, platform, folder):
    """Allocates a device and tries each command on it."""
    serial = person.allocate("--platform", platform)["id"]
    device = ("--device", serial)
    info = person.ok("device", "info", *device)["device"]
    assert (info["id"], info["platform"]) == (serial, platform) and info["name"] and info["version"]
    before, after = folder / "before.png", folder / "after.png"
    person.ok("screenshot", *device, "-o", before)
    width, height = size_of_png(before.read_bytes())
    screen = info["screenSize"]
    scale = screen.get("scale") or 1
    assert (round(screen["width"] * scale), round(screen["height"] * scale)) == (width, height)
    person.ok("io", "tap", *device, f"{screen['width'] // 2},{screen['height'] // 2}")
    person.ok("screenshot", *device, "-o", after)
    assert size_of_png(after.read_bytes()) == (width, height)
    assert before.read_bytes() != after.read_bytes(), "the screenshot does not show the tap"
    person.ok("io", "text", *device, "hello there")
    person.ok("io", "button", *device, "HOME")
    apps = person.ok("apps", "list", *device)
    assert apps and all(app["packageName"] for app in apps)
    elements = person.ok("dump", "ui", *device)["elements"]
    assert elements and all(e["rect"]["width"] >= 0 for e in elements)
    assert person.ok("device", "orientation", "get", *device)["orientation"] in ("portrait", "landscape")
    person.ok("device", "reboot", *device)
    wait_until("the device answers after its reboot", lambda: person.works("device", "info", *device))


def test_a_busy_pool_queues_and_hands_over(simulated):
    """A request beyond the pool queues: it is listed at once as allocating, and served on a release."""
    first, second = simulated.person(), simulated.person()
    held = [first.allocate("--platform", "ios")["id"] for _ in range(2)]
    asked = second.ok("remote", "allocate", "--platform", "ios")
    assert asked["state"] == "allocating" and not asked.get("device")
    (waiting,) = second.devices()
    assert (waiting["state"], allocation_of(waiting)) == ("allocating", asked["allocationId"])
    assert first.allocate("--platform", "android"), "a free device of another kind does not wait behind it"

    first.ok("remote", "release", "--device", held[0])
    (served,) = wait_until(
        "the waiter has the device",
        lambda: [d for d in second.devices() if d["state"] == "online"],
    )
    assert (served["id"], allocation_of(served)) == (held[0], asked["allocationId"])
    assert second.ok("device", "info", "--device", served["id"])


def test_wait_returns_when_the_device_is_there(simulated):
    """`--wait` returns at once when a device is free, and otherwise as soon as one is handed over."""
    first, second = simulated.person(), simulated.person()
    held = [first.allocate("--platform", "ios", "--wait", "--timeout", "20")["id"] for _ in range(2)]
    command = second.start("remote", "allocate", "--platform", "ios", "--wait", "--timeout", "60")
    wait_until("it stands in the queue", lambda: [d for d in second.devices() if d["state"] == "allocating"])
    first.ok("remote", "release", "--device", held[1])
    code, answer = second.finish(command)
    assert (code, answer["status"]) == (0, "ok"), answer
    assert answer["data"]["device"]["id"] == held[1]


def test_type_real_never_gets_a_simulated_device(simulated):
    """When only simulated devices exist, `--type real` fails at once and lists the devices."""
    person = simulated.person()
    sentence = person.refused("remote", "allocate", "--platform", "android", "--type", "real")
    assert "real" in sentence and "emulator" in sentence
    assert offers(person, "android")[0]["name"] in sentence
    assert person.devices() == []


def test_a_filter_that_nothing_can_match_says_what_there_is(simulated):
    """A request for a version that no known device has fails at once."""
    person = simulated.person()
    offer = offers(person, "ios")[0]
    sentence = person.refused("remote", "allocate", "--platform", "ios", "--version", ">=99", "--wait")
    assert offer["name"] in sentence and offer["version"] in sentence


def test_a_wrong_key_is_refused_in_words(simulated):
    """A key with a typo, a revoked key and a malformed one: each command's error names the key."""
    good = simulated.key()
    simulated.tenure.run("admin", "key", "revoke", good["id"])
    typo = good["secret"][:-1] + ("a" if good["secret"][-1] != "a" else "b")
    for secret in (good["secret"], typo, "mob_nonsense"):
        person = simulated.someone_with(secret)
        for command in (("list-devices",), ("allocate", "--platform", "ios"), ("release", "--device", "x")):
            sentence = person.refused("remote", *command)
            assert re.search("key|credential|token", sentence, re.IGNORECASE), sentence
            assert secret not in sentence


def test_a_reader_may_look_but_not_allocate(simulated):
    """`readonly` can list the pool; allocating needs another role, and the error says so."""
    reader = simulated.person("readonly")
    assert reader.ok("remote", "list-devices")["devices"]
    sentence = reader.refused("remote", "allocate", "--platform", "android")
    assert re.search("role|permission|readonly|not allowed|may not", sentence, re.IGNORECASE), sentence


def test_the_limit_of_an_organization_is_refused_in_words(simulated):
    """A request above the limit does not queue: it fails with the limit, until a device is released."""
    simulated.limit(1)
    person = simulated.person()
    device = person.allocate("--platform", "android")
    sentence = person.refused("remote", "allocate", "--platform", "android")
    assert "limit" in sentence.lower() and "1" in sentence
    person.ok("remote", "release", "--device", device["id"])
    assert person.allocate("--platform", "android")


def test_a_device_that_is_not_mine_is_not_mine_to_release_or_drive(simulated):
    """A colleague is told that another person holds it; another organization does not learn that it exists."""
    person, colleague = simulated.person(), simulated.person()
    stranger = simulated.tenure.organization().person("admin")
    serial = person.allocate("--platform", "android")["id"]
    sentence = colleague.refused("remote", "release", "--device", serial)
    assert re.search("another|someone else|not yours|permission|holds|your own", sentence, re.IGNORECASE), sentence
    assert "not allocated" in stranger.refused("remote", "release", "--device", serial)
    for other in (colleague, stranger):
        assert "not found" in other.refused("io", "tap", "--device", serial, "1,1")
    assert [d["id"] for d in person.devices()] == [serial], "it is still held"
    simulated.person("admin").ok("remote", "release", "--device", serial)
    assert person.devices() == []


def test_everyone_sees_the_sessions_afterwards(simulated):
    """List and get over plain HTTP show the device, its holder and when it was released."""
    person = simulated.person()
    device = person.allocate("--platform", "ios")
    reader = simulated.key("readonly")["secret"]
    (held,) = simulated.sessions(reader)
    assert held["device"]["id"] == device["id"] and not held.get("releasedAt")
    person.ok("remote", "release", "--device", device["id"])
    (released,) = wait_until(
        "the session is released", lambda: [s for s in simulated.sessions(reader) if s.get("releasedAt")]
    )
    assert released["id"] == held["id"] and released["releasedAt"] > released["createdAt"]
    assert {k: released["device"][k] for k in ("id", "platform", "type", "name", "osVersion")} == {
        "id": device["id"], "platform": "ios", "type": "simulator", "name": device["name"],
        "osVersion": device["version"],
    }
    status, alone = simulated.tenure.get(f"/api/v1/sessions/{held['id']}", reader)
    assert (status, alone) == (200, released)
    foreign = simulated.tenure.organization().key("admin")["secret"]
    assert simulated.tenure.get(f"/api/v1/sessions/{held['id']}", foreign)[0] == 404
