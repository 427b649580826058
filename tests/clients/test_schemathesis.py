"""Schemathesis sends a Tenure server requests that its OpenAPI documents allow, and others that they forbid. Every response must match
the document in status, headers, type and schema.

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
# Exceptions that the wires' documents cannot express, with the reason.
CONFIG = """
# The caller is given (see `callers`); a second, made-up credential would have everything refused.
[generation]
with-security-parameters = false

[parameters]
org = "{organization}"

# Changes that are no longer kept, and objects of a deleted organization: 410. A tag that an object does not have: 412.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "410", "412", "429", "5xx"]

# A request above a limit is refused before it is parsed.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "410", "412", "413", "414", "415", "422", "429", "5xx"]

# The documents say (`links`) which values of responses go into which paths; inferred links would take a list for an id.
[phases.stateful.inference]
algorithms = []

# The hooks know the existing objects. If the program collected them itself, it would use nothing else in a path, and stop when it
# has tried all of them.
[phases.fuzzing.extra-data-sources]
responses = false

# The body of a command depends on its name in the path.
[[operations]]
include-operation-id = "post_v1_commands_by_name"
checks.positive_data_acceptance.enabled = false

# The old password, a program's device code and the token of a preview cannot be guessed.
[[operations]]
include-path-regex = "/password$|/me/authenticate$|/login/device/token$|/login-sessions/revoke$"
checks.positive_data_acceptance.enabled = false

# A person who is not a member must be invited, whatever the id.
[[operations]]
include-path-regex = "/members/users$"
checks.positive_data_acceptance.enabled = false

# The parts of a form have no type, and no client names a part with a zero byte.
[[operations]]
include-path-regex = "/attachments$"
checks.positive_data_acceptance.enabled = false
checks.negative_data_rejection.enabled = false

# In a form booleans are texts, with more values than true and false.
[[operations]]
include-path-regex = "/auth/sign-in$"
checks.negative_data_rejection.enabled = false

# Filters are a language, and scopes, cursors, time zones and names of fields are not any text.
[[operations]]
include-path-regex = "^/tenure/v1/(sessions|filter|views|devices|hosts|queue|agents|workers|organizations|people|keys|audit|usage)"
checks.positive_data_acceptance.enabled = false

# An ended session can still be read.
[[operations]]
include-path-regex = "^/api/v1/sessions/|/sessions/{{devin}}"
checks.use_after_free.enabled = false

# The program takes an optional body that is left out for a missing one.
[[operations]]
include-path-regex = "/auth/jwt$|/auth/api-token|/user/(current|{{user}})$|:(end|extend|archive|unarchive)$"
checks.negative_data_rejection.enabled = false
"""
# WebSockets need an upgrade (the server's tests and the hosts' tests cover them), and event streams have no end.
LEFT_OUT = "^/(ws|tenure/v1/(host|watch))$|/sse$"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server for these tests alone, since they end sessions and revoke keys."""
    folder = tmp_path_factory.mktemp("schemathesis")
    settings = {"TENURE_USERS_MAKE_ORGANIZATIONS": "true", "TENURE_FRESH_AUTH": "10h", "TENURE_WORKER_LEASE": "10h"}
    tenure = harness.Tenure(f"sqlite:{folder / 'tenure.db'}", folder, **CHEAP, **settings)
    yield tenure
    assert tenure.program.stop() == 0, f"the server did not end well:\n{tenure.program.tail()}"


# For each run: the document, the paths of it to leave out, and a request that succeeds while the caller still has all permissions.
RUNS = {
    "mobilenext": ("mobilenext", None, "POST /api/v1/members/invitations"),
    "everruns": ("everruns", None, "GET /v1/sessions"),
    "devin": ("devin", r"^/enterprise/|^/organizations/(?!\{org\})", "POST /v3/organizations/service-users"),
    "devin-own": ("devin", r"^/(?!organizations/(?!\{org\}))", "POST /v3/organizations/service-users"),
    "devin-account": ("devin", "^/organizations/", "GET /v3/enterprise/organizations/{org}"),
    "probe": ("probe", None, "GET /frontend/api/v1/auth/session"),
    "tenure": ("tenure", "^/tenure/v1/(login-sessions|users)/", "GET /tenure/v1/me"),
    "tenure-account": ("tenure", "^/tenure/v1/(?!(login-sessions|users)/)", "POST /tenure/v1/login-sessions/revoke"),
    "house": ("house", None, "GET /healthz"),
    "pages": ("pages", None, "GET /account"),
}
# Operations that never succeed in the long run, with the reason.
MAIL, SIGNED, ACTION = "needs a token that was sent by mail", "needs an address that the server signed", "needs a busy device"
CODE = "a code of a second factor works once"
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
    "POST /login/device": "a page for a browser; here the caller is a program",
    "POST /login/device/token": "a person must approve it on that page",
}
# Operations without anything to vary. In Devin's paths the organization is always the same.
NOTHING = {
    "GET /self", "GET /enterprise/queue", "GET /enterprise/roles", "GET /enterprise/organizations/{org}",
    "DELETE /enterprise/organizations/{org}", "GET /account", "GET /door.css", "GET /restore", "GET /restore/verify",
    "GET /sign-out", "GET /healthz", "GET /metrics", "GET /readyz",
}


@pytest.fixture
def callers(served, run):
    """The first caller's organization, and the URL where the hooks get callers: first that one, then a new one each time."""
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
    # The short run is the same each time, the long run is not.
    command += ["--generation-deterministic"] if EXAMPLES < 100 else ["--generation-database", "none"]
    command += ["--max-examples", EXAMPLES, "--warnings", "off"]
    if wire == "pages":
        # A caller without a session is redirected to the sign-in, whatever the request.
        command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
    if run == "tenure-account":
        # These operations have no follow-up for the stateful phase.
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
    print(f"{run}: {sum(sum(statuses.values()) for statuses in answered.values())} requests; never succeeded: {fruitless}")
    if EXAMPLES < 100:
        assert len(fruitless) < len(meant) / 2, "most operations never succeeded"
    else:
        assert fruitless <= set(NEVER), fruitless - set(NEVER)
        few = {operation for operation, statuses in meant.items() if sum(statuses.values()) < EXAMPLES} - NOTHING
        assert not few, f"not tried {EXAMPLES} times: {few}"
    # A crashed server, or a panic in one of its tasks, is noticed here at the latest.
    assert served.get("/readyz")[0] == 200
    assert "panicked" not in served.program.log.read_text(errors="replace")
