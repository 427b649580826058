"""Puts recognizable secrets wherever a request can have one. Then it searches everything that the server writes for them: the log
at its finest level, responses, metrics, the audit log, and every file of the database.

A secret is searched for as plain text, in base64 at every offset, in hexadecimal, and escaped as in a URL."""

import base64
import http.client
import json
import re
import urllib.parse
import uuid

import pytest

import harness

AUTH, V3 = "/frontend/api/v1/auth", "/v3/organizations"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
ENOUGH = 12


def spellings(secret):
    """The byte strings that would reveal a secret."""
    raw = secret.encode() if isinstance(secret, str) else secret
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(raw, safe="").encode()}
    for offset in range(3):
        # In the middle of other data, only the characters that depend on the secret's own bytes can be searched for.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * offset + raw).rstrip(b"=")
            found.add(text[(offset * 8 + 5) // 6 : len(text) - 1])
    return {text for text in found if len(text) >= ENOUGH}


class Canaries:
    """Secrets by name, and all responses."""

    def __init__(self, tenure):
        self.tenure, self.secrets, self.answers = tenure, {}, []

    def make(self, name):
        """A unique secret."""
        return self.plant(name, f"canary{uuid.uuid4().hex}")

    def plant(self, name, secret):
        assert secret, name
        self.secrets[name] = secret
        return secret

    def call(self, method, path, body=None, kind=JSON, shows=(), **headers):
        """Sends a request. `shows`: the secrets that its response is meant to contain."""
        connection = http.client.HTTPConnection(urllib.parse.urlparse(self.tenure.url).netloc, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            headers["Content-Type"] = kind
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        head = "\n".join(f"{name}: {value}" for name, value in answer.getheaders()).encode()
        self.answers.append((f"{method} {path.split('?')[0][:40]}: {answer.status}", head + b"\n\n" + text, set(shows)))
        assert answer.status < 500, (method, path, answer.status, text)
        return answer.status, answer, json.loads(text) if text[:1] in (b"{", b"[") else text

    def found_in(self, what, content, but=()):
        """The names of the secrets in this content."""
        return [f"{name} in {what}" for name, secret in self.secrets.items() if name not in but
                if any(text in content for text in spellings(secret))]


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def mails(folder):
    """The tokens of all mails so far, newest last."""
    files = sorted((folder / "tenure-data/outbox").glob("*"), key=lambda file: file.stat().st_mtime_ns)
    texts = [re.sub(r"=\r?\n", "", file.read_text(errors="replace")) for file in files if file.is_file()]
    return [token for text in texts for token in re.findall(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}", text)]


def sign_ins(canaries, email, password):
    """Passwords in both kinds of body, right and wrong, and in unreadable bodies."""
    wrong = canaries.make("a wrong password")
    sign_in = f"{AUTH}/sign-in"
    assert canaries.call("POST", sign_in, {"email": email, "password": wrong})[0] == 401
    form = urllib.parse.urlencode({"email": email, "password": canaries.make("a wrong password in a form")})
    assert canaries.call("POST", sign_in, form, FORM)[0] == 401
    nobody = f"{canaries.make('an address that nobody has')}@example.test"
    assert canaries.call("POST", sign_in, {"email": nobody, "password": wrong})[0] == 401
    for broken in ('{"password":"%s"', '{"email":1,"password":["%s"]}', '{"password":{"%s":1}}', '["%s"]', '"%s"', "%s"):
        said = broken % canaries.make(f"a password in {broken}")
        assert canaries.call("POST", sign_in, said)[0] == 400
    assert canaries.call("POST", f"{sign_in}?password={canaries.make('a password in the query')}", {})[0] == 400
    status, _, body = canaries.call(
        "POST", sign_in, {"email": email, "password": password}, shows=["a token"], Cookie=f"jwt={canaries.make('an old cookie')}.a.b",
        Referer=f"http://x.test/{canaries.make('a referer')}", Idempotency_Key=canaries.make("an idempotency key"))
    assert status == 200
    token = canaries.plant("a token", body["jwt-token"]["token"])
    claims = token.split(".")[1]
    canaries.plant("the secret in a token", json.loads(base64.urlsafe_b64decode(claims + "=="))["jti"])
    return token


def credentials(canaries, key, token):
    """Every way to send a credential, valid and invalid."""
    current = "/frontend/api/v1/user/current"
    assert canaries.call("GET", current, **bearer(token))[0] == 200
    assert canaries.call("GET", f"{current}?token={key}")[0] == 200
    assert canaries.call("GET", f"{current}?jwt={token}")[0] == 200
    assert canaries.call("GET", current, Cookie=f"jwt={token}")[0] == 200
    bad = canaries.make
    for path, headers in [
        (f"?token={bad('a bad key in the query')}", {}), (f"?jwt=a.{bad('a bad token in the query')}.b", {}),
        ("", {"Cookie": f"jwt=a.{bad('a bad cookie')}.b"}), ("", bearer(bad("a bad key"))), ("", bearer(f"a.{bad('a bad token')}.b")),
        ("", {"Authorization": f"Basic {bad('another scheme')}"}), ("", {"Authorization": bad("no scheme")}),
        (f"?token={key}&jwt={token}", {}), (f"?token={key}", {"Cookie": f"jwt={token}", "User-Agent": bad("a user agent")}),
    ]:
        assert canaries.call("GET", current + path, **headers)[0] in (401, 400), path
    for wire in ("/api/v1/sessions", "/v1/sessions", f"{V3}/sessions", "/tenure/v1/changes", "/metrics", "/nothing"):
        canaries.call("GET", f"{wire}?token={key}&jwt={token}", Referer=token, Cookie=f"jwt={token}", X_Request_Id=f"{key} {token}")


def keys(canaries, token):
    """API tokens, which the vendor's clients identify by their secrets."""
    status, _, made = canaries.call("POST", f"{AUTH}/api-token", {}, shows=["a made key"], **bearer(token))
    assert status == 200
    secret = canaries.plant("a made key", made["token"])
    assert canaries.call("GET", f"{AUTH}/api-token/{secret}", **bearer(token))[0] == 200
    assert canaries.call("GET", f"{AUTH}/api-token/{canaries.make('a key in the path')}", **bearer(token))[0] == 404
    status, _, made = canaries.call("PUT", f"{AUTH}/api-token/{secret}", {}, shows=["a renewed key"], **bearer(token))
    renewed = canaries.plant("a renewed key", made["token"])
    assert canaries.call("DELETE", f"{AUTH}/api-token/{renewed}", **bearer(token))[0] == 204


def work(canaries, key):
    """A service user's key, secrets of sessions, files and their addresses."""
    machine = {"name": "machine", "role_id": "org_member"}
    status, _, made = canaries.call("POST", f"{V3}/service-users", machine, shows=["a key of a machine"], **bearer(key))
    assert status == 200, made
    canaries.plant("a key of a machine", made["token"])
    secret = canaries.make("a secret of a session")
    body = {"prompt": "hi", "session_secrets": [{"key": "TOKEN", "value": secret}], "structured_output_schema": None}
    status, _, session = canaries.call(
        "POST", f"{V3}/sessions", body, Idempotency_Key=canaries.make("an idempotency key of a session"), **bearer(key))
    assert status == 200, session
    assert canaries.call("GET", f"{V3}/sessions/{session['session_id']}", **bearer(key))[0] == 200
    bad = {"prompt": "hi", "session_secrets": [{"key": "TOKEN", "value": [canaries.make("a secret that is no text")]}]}
    assert canaries.call("POST", f"{V3}/sessions", bad, **bearer(key))[0] == 422
    for path, field in (("/v1/sessions", "tags"), ("/v1/agents", "capabilities"), ("/api/v1/sessions/x/devices", "filters")):
        status, _, told = canaries.call("POST", path, {field: canaries.make(f"{field} that are a text")}, **bearer(key))
        assert status in (400, 404), told
    part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'
    status, _, file = canaries.call("POST", f"{V3}/attachments", part, "multipart/form-data; boundary=x", **bearer(key))
    assert status == 200, file
    path = urllib.parse.urlparse(file["url"]).path
    status, answer, _ = canaries.call("GET", path, shows=["the address of a file"], **bearer(key))
    assert status == 307
    link = canaries.plant("the address of a file", answer.getheader("location").rsplit("/", 1)[1])
    assert canaries.call("GET", f"/v3/attachments/{link}")[2] == b"hello"
    for unknown in ("/v3/attachments/", "/tenure/v1/files/"):
        assert canaries.call("GET", unknown + canaries.make(f"an address below {unknown}"))[0] == 404
    canaries.call("PUT", f"/tenure/v1/files/{canaries.make('an address for an upload')}", b"x")


def recovery(canaries, email, password, folder):
    """Tokens sent by mail, and the passwords set with them."""
    assert canaries.call("POST", f"{AUTH}/password-restore", {"email": email})[0] == 200
    token = canaries.plant("a token of a mail", harness.wait_until("there is a mail", lambda: mails(folder))[-1])
    new = canaries.make("a new password")
    bad = {"verify-token": canaries.make("a bad token of a mail"), "new-password": new}
    assert canaries.call("POST", f"{AUTH}/password-restore-verify", bad)[0] == 401
    good = {"verify-token": token, "new-password": new}
    assert canaries.call("POST", f"{AUTH}/password-restore-verify", good)[0] == 200
    status, _, body = canaries.call("POST", f"{AUTH}/sign-in", {"email": email, "password": new}, shows=["a second token"])
    assert status == 200
    second = canaries.plant("a second token", body["jwt-token"]["token"])
    form = urllib.parse.urlencode({"old-password": new, "new-password": canaries.make("a third password")})
    assert canaries.call("PUT", f"{AUTH}/current/password", form, FORM, **bearer(second))[0] == 204
    assert canaries.call("DELETE", f"{AUTH}/sign-out", **bearer(second))[0] in (200, 401)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_secret_is_written_anywhere(database, request, tmp_path):
    url = f"sqlite:{tmp_path / 'data.db'}" if database == "sqlite" else request.getfixturevalue("postgres")
    password_of_database = f"canary{uuid.uuid4().hex}"
    if database == "postgres":
        scheme, rest = url.split("://", 1)
        user, at, place = rest.partition("@")
        url = f"{scheme}://{user.partition(':')[0]}:{password_of_database}{at}{place}" if at else url
    tenure = harness.Tenure(url, tmp_path, TENURE_LOG="trace", TENURE_ARGON2_MEMORY="64KiB", TENURE_ARGON2_PASSES="1")
    canaries = Canaries(tenure)
    canaries.plant("the password of the database", password_of_database)
    organization = tenure.organization()
    password = canaries.make("a password")
    email = organization.login(password, role="admin")
    key = canaries.plant("a key", tenure.admin("key", "create", "--user", email, "--org", organization.id, "--wire", "probe")["secret"])
    # And the bytes that its letters encode.
    canaries.plant("the bytes of a key", base64.b32decode(key.split("_")[1].upper() + "====")[:28])
    account = canaries.plant("a key of the account", tenure.account_key("admin"))
    token = sign_ins(canaries, email, password)
    credentials(canaries, key, token)
    keys(canaries, token)
    work(canaries, key)
    recovery(canaries, email, password, tmp_path)
    for name, file in kept(tmp_path).items():
        canaries.plant(name, file)
    status, _, audit = canaries.call("GET", "/v3/enterprise/audit-logs?first=200", **bearer(account))
    assert status == 200 and audit["items"], audit
    status, _, metrics = canaries.call("GET", "/metrics")
    assert status == 200 and b"# EOF" in metrics
    settings = tenure.run("settings")
    seen = search(canaries, tenure, tmp_path, settings, database, request)
    assert tenure.program.stop() == 0, tenure.program.tail()
    # The log of the shutdown, and the closed database.
    seen += search(canaries, tenure, tmp_path, settings, database, request)
    assert not seen, sorted(set(seen))


def kept(folder):
    """The secrets in the server's own files: the master key and the private signing keys."""
    found = {}
    for file in (folder / "tenure-data").rglob("*"):
        if file.is_file() and "outbox" not in file.parts and "files" not in file.parts and len(file.read_bytes()) >= ENOUGH:
            found[f"the content of {file.name}"] = file.read_bytes().strip()
    assert found, "the server has no keys?"
    return found


def search(canaries, tenure, folder, settings, database, request):
    """Which secrets were found where."""
    seen = canaries.found_in("the settings", settings.encode())
    log = tenure.program.log.read_bytes()
    assert log.count(b" access: ") > 50, "requests are not logged"
    seen += canaries.found_in("the log", log)
    for what, content, shows in canaries.answers:
        # The response to a sign-in has the token, and so its secret.
        shows |= {"the secret in a token"} if "a token" in shows else set()
        seen += canaries.found_in(f"the answer to {what}", content, shows)
    if database == "postgres":
        dump = harness.subprocess.run(
            ["pg_dump", "--data-only", "--inserts", tenure.database], capture_output=True, check=True, timeout=60).stdout
        assert b"INSERT INTO" in dump
        # The dump has bytes in hexadecimal, which is one of the spellings.
        seen += canaries.found_in("the database", dump)
    own = ("outbox", "keys")
    for file in folder.rglob("*"):
        if file.is_file() and not set(file.parts) & set(own) and file.suffix != ".log" and "key" not in file.name:
            seen += canaries.found_in(file.name, file.read_bytes())
    return seen
