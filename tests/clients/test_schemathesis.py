"""Schemathesis throws at a served Tenure what its OpenAPI documents allow, and what they do not; every answer has to be
one that the document declares, in status, headers, type and schema.

`TENURE_TEST_EXAMPLES` is how many examples each operation gets (the long run: 2000)."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

import harness
from load import CHEAP
from schemathesis_callers import Callers

EXAMPLES = int(os.environ.get("TENURE_TEST_EXAMPLES", "8"))
# What the wires' documents cannot say, with the reason.
CONFIG = """
# Who asks is said (see `caller`); a second credential that was made up would have everything refused.
[generation]
with-security-parameters = false

[parameters]
org = "{organization}"

# A list of changes that are no longer kept, and what a deleted organization had: 410.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "410", "429", "5xx"]

# Too much is refused before it is looked at.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "410", "413", "414", "415", "422", "429", "5xx"]

# Which of the answers of others goes into which path is said in the documents (`links`); what is guessed beside them
# takes a list for an id.
[phases.stateful.inference]
algorithms = []

# What is there is known to the hooks. Where the program itself keeps it, it takes nothing else for a path, and is done
# with the operation when it tried all of it.
[phases.fuzzing.extra-data-sources]
responses = false

# What a command is sent depends on its name in the path.
[[operations]]
include-operation-id = "post_v1_commands_by_name"
checks.positive_data_acceptance.enabled = false

# Nobody guesses the old password, what a program was given to wait with, or what a preview answered.
[[operations]]
include-path-regex = "/password$|/me/authenticate$|/login/device/token$|/login-sessions/revoke$"
checks.positive_data_acceptance.enabled = false

# Who is no member yet has to be invited, whatever the id.
[[operations]]
include-path-regex = "/members/users$"
checks.positive_data_acceptance.enabled = false

# What is in the parts of a form has no type, and no client names a part with a zero byte.
[[operations]]
include-path-regex = "/attachments$"
checks.positive_data_acceptance.enabled = false
checks.negative_data_rejection.enabled = false

# In a form booleans are texts, of which there are more than true and false.
[[operations]]
include-path-regex = "/auth/sign-in$"
checks.negative_data_rejection.enabled = false

# A session that was ended is still there to be read.
[[operations]]
include-path-regex = "^/api/v1/sessions/|/sessions/{{devin}}"
checks.use_after_free.enabled = false

# Bodies that may be left out: that is taken for one that is missing.
[[operations]]
include-path-regex = "/auth/jwt$|/auth/api-token|/user/(current|{{user}})$"
checks.negative_data_rejection.enabled = false
"""
# WebSockets want an upgrade: socket.rs and the hosts' tests have them. A stream of events has no end.
LEFT_OUT = "^/(ws|tenure/v1/host)$|/sse$"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A Tenure of these tests alone: they end sessions and revoke keys as they like."""
    folder = tmp_path_factory.mktemp("schemathesis")
    settings = {"TENURE_USERS_MAKE_ORGANIZATIONS": "true", "TENURE_FRESH_AUTH": "10h", "TENURE_WORKER_LEASE": "10h"}
    tenure = harness.Tenure(f"sqlite:{folder / 'tenure.db'}", folder, **CHEAP, **settings)
    yield tenure
    assert tenure.program.stop() == 0, f"the server did not end well:\n{tenure.program.tail()}"


# Whose documents are tried, by whom: the document, what is left out of it besides, and what is asked to see whether the
# caller still may do all that.
RUNS = {
    "mobilenext": ("mobilenext", None, "POST /api/v1/members/invitations"),
    "everruns": ("everruns", None, "GET /v1/sessions"),
    "devin": ("devin", r"^/enterprise/|^/organizations/(?!\{org\})", "POST /v3/organizations/service-users"),
    "devin-own": ("devin", r"^/(?!organizations/(?!\{org\}))", "POST /v3/organizations/service-users"),
    "devin-account": ("devin", "^/organizations/", "GET /v3/enterprise/organizations/{org}"),
    "probe": ("probe", None, "GET /frontend/api/v1/auth/session"),
    "tenure": ("tenure", "^/tenure/v1/login-sessions/", "GET /tenure/v1/me"),
    "tenure-account": ("tenure", "^/tenure/v1/(?!login-sessions/)", "GET /tenure/v1/changes"),
    "house": ("house", None, "GET /healthz"),
    "pages": ("pages", None, "GET /account"),
}
# What nothing good comes of in the long run, with the reason.
MAIL, SIGNED, ACTION = "what it needs was sent by mail", "what it needs is signed by the server", "for a device at work"
CODE = "a code of a second factor is good once"
NEVER = {
    "POST /frontend/api/v1/auth/password-restore-verify": MAIL,
    "POST /frontend/api/v1/auth/verify": MAIL,
    "POST /restore/verify": MAIL,
    "GET /attachments/{link}": SIGNED,
    "GET /tenure/v1/files/{token}": SIGNED,
    "PUT /tenure/v1/files/{token}": SIGNED,
    "GET /tenure/v1/host/files/{file}": ACTION,
    "PUT /tenure/v1/host/files/{file}": ACTION,
    "POST /tenure/v1/me/recovery-codes": CODE,
    "POST /tenure/v1/me/totp/remove": CODE,
    "POST /tenure/v1/sign-in/code": CODE,
    "POST /account/recovery-codes": CODE,
    "POST /account/totp/remove": CODE,
    "POST /sign-in/code": CODE,
    "POST /login/device": "a page: its caller is a browser, and here it is a program",
    "POST /login/device/token": "somebody has to allow it on that page",
}
# What has nothing in it that could be varied: of Devin's paths the organization is always the same.
NOTHING = {
    "GET /self", "GET /enterprise/queue", "GET /enterprise/roles", "GET /enterprise/organizations/{org}",
    "DELETE /enterprise/organizations/{org}", "GET /account", "GET /door.css", "GET /restore", "GET /restore/verify",
    "GET /sign-out", "GET /healthz", "GET /metrics", "GET /readyz",
}


@pytest.fixture
def callers(served, run):
    """Where the hooks find somebody whom the requests are from, a new one each time but the first; and the first one's
    organization."""
    wire, _, check = RUNS[run]
    another = Callers(served, run, wire, check)
    first = another()
    waiting = [first]

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(waiting.pop() if waiting else another()).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Door) as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        yield first["organization"], f"http://127.0.0.1:{door.server_port}"
        door.shutdown()


@pytest.mark.parametrize("run", RUNS)
def test_what_a_document_says_is_so(served, run, callers, tmp_path):
    (wire, left_out, _), (organization, door) = RUNS[run], callers
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(organization=organization))
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    command = [program, "--no-color", "--config-file", config, "run", f"{served.url}/openapi/{wire}.json"]
    # The short run is the same each time; the long one is not.
    command += ["--generation-deterministic"] if EXAMPLES < 100 else ["--generation-database", "none"]
    command += ["--max-examples", EXAMPLES, "--warnings", "off"]
    if wire == "pages":
        # Whoever is not signed in (any more) is led to the sign-in, whatever was sent.
        command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
    if run == "tenure-account":
        # One operation alone goes on with nothing.
        command += ["--phases", "coverage,fuzzing"]
    left_out = f"{LEFT_OUT}|{left_out}" if left_out else LEFT_OUT
    command += ["--exclude-path-regex", left_out, "--request-timeout", 30, "--continue-on-failure", "--workers", 1]
    environment = {
        **os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(harness.HERE), "TENURE_CALLERS": door,
    }
    report = tmp_path / "report.txt"
    with report.open("w") as output:
        done = subprocess.run(
            [str(word) for word in command], cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT,
            timeout=300 + 60 * EXAMPLES, stdin=subprocess.DEVNULL,
        )
    said = report.read_text()
    print(said[-2_000:])
    if done.returncode:
        found = said[said.find("FAILURES") :]
        pytest.fail(f"schemathesis: {done.returncode}\n{found[:20_000]}\n…{said[-5_000:]}", pytrace=False)
    answered = json.loads((tmp_path / "answered.json").read_text())
    meant = {operation: statuses for operation, statuses in answered.items() if set(statuses) != {"405"}}
    fruitless = {operation for operation, statuses in meant.items() if all(status >= "400" for status in statuses)}
    print(f"{run}: {sum(sum(statuses.values()) for statuses in answered.values())} requests; nothing good came of {fruitless}")
    if EXAMPLES < 100:
        assert len(fruitless) < len(meant) / 2, "most requests say nothing of what they are about"
    else:
        assert fruitless <= set(NEVER), fruitless - set(NEVER)
        few = {operation for operation, statuses in meant.items() if sum(statuses.values()) < EXAMPLES} - NOTHING
        assert not few, f"not tried {EXAMPLES} times: {few}"
    # A server that fell, or a panic in one of its tasks, would be seen here at the latest.
    assert served.get("/readyz")[0] == 200
    assert "panicked" not in served.program.log.read_text(errors="replace")
