"""Schemathesis throws at a served Tenure what its OpenAPI documents allow, and what they do not; every answer has to be
one that the document declares, in status, headers, type and schema.

`TENURE_TEST_EXAMPLES` is how many examples each operation gets (the long run: 2000)."""

import os
import pathlib
import subprocess
import sys

import pytest

import harness

EXAMPLES = int(os.environ.get("TENURE_TEST_EXAMPLES", "8"))
# What the wires' documents cannot say, with the reason.
CONFIG = """
[parameters]
org = "{organization}"

# A list of changes that are no longer kept, and what a deleted organization had: 410.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "410", "429", "5xx"]

# Which of the answers of others goes into which path is said in the documents (`links`); what is guessed beside them
# takes a list for an id.
[phases.stateful.inference]
algorithms = []

# What a command is sent depends on its name in the path.
[[operations]]
include-operation-id = "post_v1_commands_by_name"
checks.positive_data_acceptance.enabled = false

# Nobody guesses the old password, or what a program was given to wait with.
[[operations]]
include-path-regex = "/password$|/login/device/token$"
checks.positive_data_acceptance.enabled = false

# Bodies that may be left out: that is taken for one that is missing.
[[operations]]
include-path-regex = "/auth/jwt$|/auth/api-token|/user/(current|{{user}})$"
checks.negative_data_rejection.enabled = false
"""
# WebSockets want an upgrade: socket.rs and the hosts' tests have them. A stream of events has no end.
LEFT_OUT = "^/(ws|tenure/v1/host)$|/sse$"
# In the short run only one of the two spellings of Devin's paths, which have the same handlers.
if EXAMPLES < 100:
    LEFT_OUT += r"|^/organizations/(?!\{org\})"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A Tenure of these tests alone: they end sessions and revoke keys as they like."""
    folder = tmp_path_factory.mktemp("schemathesis")
    tenure = harness.Tenure(f"sqlite:{folder / 'tenure.db'}", folder)
    yield tenure
    assert tenure.program.stop() == 0, f"the server did not end well:\n{tenure.program.tail()}"


def signed_in(served, organization):
    """The token of a session."""
    person = {"email": organization.login("a long password"), "password": "a long password"}
    json = {"Content-Type": "application/json"}
    status, answer = served.call("POST", "/frontend/api/v1/auth/sign-in", body=person, headers=json)
    assert status == 200, answer
    return answer["jwt-token"]["token"]


@pytest.mark.parametrize("wire", ["mobilenext", "everruns", "devin", "probe", "tenure", "house", "pages"])
def test_what_a_document_says_is_so(served, wire, tmp_path):
    organization = served.organization()
    headers = {}
    if wire == "pages":
        # A browser in which somebody has signed in: until one of the requests signs them out.
        headers = {"Cookie": f"jwt={signed_in(served, organization)}", "Sec-Fetch-Site": "same-origin"}
    elif wire != "house":
        key = served.account_key("admin") if wire == "devin" else organization.key("admin", wire)["secret"]
        headers["Authorization"] = f"Bearer {key}"
    if wire in ("mobilenext", "everruns", "probe", "tenure"):
        headers["X-Org-ID" if wire == "everruns" else "X-Organization-ID"] = organization.id
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(organization=organization.id))
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    command = [program, "--no-color", "--config-file", config, "run", f"{served.url}/openapi/{wire}.json"]
    command += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    # The short run is the same each time; the long one is not.
    command += ["--generation-deterministic"] if EXAMPLES < 100 else ["--generation-database", "none"]
    command += ["--max-examples", EXAMPLES, "--warnings", "off"]
    if wire in ("mobilenext", "devin"):
        # A session that was ended is still there to be read.
        command += ["--exclude-checks", "use_after_free"]
    if wire == "pages":
        # Whoever is not signed in (any more) is led to the sign-in, whatever was sent.
        command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
    command += ["--exclude-path-regex", LEFT_OUT, "--request-timeout", 30, "--continue-on-failure", "--workers", 1]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(harness.HERE)}
    done = subprocess.run(
        [str(word) for word in command], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=300 + 60 * EXAMPLES, stdin=subprocess.DEVNULL,
    )
    print(done.stdout[-2_000:])
    if done.returncode:
        pytest.fail(f"schemathesis: {done.returncode}\n{done.stdout[-30_000:]}{done.stderr[-5_000:]}", pytrace=False)
    # A server that fell, or a panic in one of its tasks, would be seen here at the latest.
    assert served.get("/readyz")[0] == 200
    assert "panicked" not in served.program.log.read_text(errors="replace")
