"""A real device: mobilecli 1.0.9 -> Tenure -> `tenure host` -> the real `mobilecli server` -> adb.

Only adb and the phone behind it are fake (fake-adb/). The calls that reached the phone are in adb's log.
"""

from harness import wait_until
from pictures import size_of_png


def test_a_real_device_is_listed_and_driven(phone, tmp_path):
    """Each command at the terminal reaches the phone, and its result comes back."""
    person = phone.organization.person()
    (offer,) = person.ok("remote", "list-devices")["devices"]
    assert (offer["name"], offer["platform"], offer["type"], offer["version"]) == (
        "Fake Pixel", "android", "real", "16",
    )
    person.allocate("--platform", "android", "--type", "real", "--version", ">=16", "--name", "Fake*")
    device = ("--device", "FAKE0001")
    info = person.ok("device", "info", *device)["device"]
    assert info["name"] == "Fake Pixel" and (info["screenSize"]["width"], info["screenSize"]["height"]) == (1080, 2400)
    picture = tmp_path / "screen.png"
    person.ok("screenshot", *device, "-o", picture)
    assert size_of_png(picture.read_bytes()) == (1080, 2400)
    commands = {
        ("io", "tap", "10,20"): "shell input tap 10 20",
        ("io", "text", "hi there"): "shell input text hi\\ there",
        ("io", "button", "BACK"): "shell input keyevent KEYCODE_BACK",
        ("apps", "launch", "com.example.app"): "shell am start -n com.example.app/.Main",
        ("device", "reboot"): "reboot",
    }
    for command, expected in commands.items():
        assert not phone.saw(expected)
        person.ok(*command, *device)
        assert phone.saw(expected), f"{command} did not reach the phone: {phone.calls()[-10:]}"
    assert [app["packageName"] for app in person.ok("apps", "list", *device)] == ["com.example.app"]
    assert "Sign in" in str(person.ok("dump", "ui", *device)["elements"])


def test_a_released_device_is_cleaned_and_can_be_had_again(phone):
    """A release presses HOME on the phone before the next person gets it."""
    person, next_one = phone.organization.person(), phone.organization.person()
    person.allocate("--platform", "android", "--type", "real")
    waiting = next_one.ok("remote", "allocate", "--platform", "android", "--type", "real")
    assert waiting["state"] == "allocating"
    assert not phone.saw("shell input keyevent KEYCODE_HOME")
    person.ok("remote", "release", "--device", "FAKE0001")
    wait_until("the next one has it", lambda: [d for d in next_one.devices() if d["state"] == "online"])
    assert phone.saw("shell input keyevent KEYCODE_HOME")


def test_type_real_waits_for_the_real_device_beside_free_simulated_ones(phone):
    """With both in the pool, `--type real` takes the phone, and queues for it while emulators are free."""
    host = phone.organization.host("--simulate", "android=2")
    person = phone.organization.person()
    host.until(
        "both kinds are listed",
        lambda: {"real", "emulator"} == {d["type"] for d in person.ok("remote", "list-devices")["devices"]},
    )
    device = person.allocate("--platform", "android", "--type", "real")
    assert (device["id"], device["type"]) == ("FAKE0001", "real")
    asked = person.ok("remote", "allocate", "--platform", "android", "--type", "real")
    assert asked["state"] == "allocating" and not asked.get("device")
