"""`mobilecli auth login`, unmodified. Its hosts are built in, so it runs in a namespace where they are Tenure.

The namespace has its own hosts file and its own loopback with TLS on port 443, and the client trusts the test's certificate. Where
namespaces are not allowed, these tests are skipped and say so.
"""

import http.client
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse

import pytest

import harness

HOSTS = ("app.mobilenext.ai", "api.mobilenext.ai", "api.mobilenexthq.com")
PASSWORD = "correct horse battery"


def namespace():
    """The command that runs a program in new namespaces, or None and what is missing."""
    for tool in ("unshare", "openssl", "mount"):
        if not shutil.which(tool):
            return None, f"the program {tool} is missing"
    said = ""
    for command in (["unshare", "-mn"], ["unshare", "-rmn"]):
        tried = subprocess.run([*command, "mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True, text=True)
        if tried.returncode == 0:
            return command, ""
        said = tried.stderr.strip()
    return None, f"mount and network namespaces are not allowed here ({said}); run it as root, or allow user namespaces"


def forward(path, host, port):
    """Forwards a Unix socket to the server, which a namespace cannot reach by TCP."""
    from tls_front import join

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            join(client, socket.create_connection((host, port)))

    threading.Thread(target=serve, daemon=True).start()
    return listener


class Terminal:
    """A person at a terminal with an unconfigured mobilecli."""

    def __init__(self, organization, folder):
        assert harness.MOBILECLI.exists(), f"{harness.MOBILECLI} is missing: run scripts/test clients"
        self.command, missing = namespace()
        if not self.command:
            pytest.skip(missing)
        self.organization, self.folder = organization, folder
        url = urllib.parse.urlsplit(organization.tenure.url)
        self.upstream = forward(folder / "upstream", url.hostname, url.port)
        (folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join(HOSTS)}\n")
        names = ",".join(f"DNS:{host}" for host in HOSTS)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=test", "-addext", f"subjectAltName={names}", "-keyout", folder / "key.pem",
             "-out", folder / "cert.pem"],
            check=True, capture_output=True, timeout=60,
        )
        home = folder / "home"
        home.mkdir()
        self.environment = harness.clean_environment(
            home, XDG_CONFIG_HOME=home / "config", SSL_CERT_FILE=folder / "cert.pem", MOBILECLI_REMOTE_ONLY=1,
        )

    def start(self, *arguments):
        """Starts `mobilecli --insecure-storage ARGUMENTS` in its namespace."""
        front = [harness.python(), harness.HERE / "tls_front.py", "hosts", "cert.pem", "key.pem", "upstream", "--"]
        command = [*self.command, *front, harness.MOBILECLI, "--insecure-storage", *arguments]
        return subprocess.Popen(
            [str(part) for part in command], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def run(self, *arguments):
        """The exit code and the output."""
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=120)
        return process.returncode, out

    def login(self):
        """Runs `auth login` until it shows a code; returns the process, the page and the code."""
        process = self.start("auth", "login")
        text = ""
        for line in process.stdout:
            text += line
            if found := re.search(r"enter the code: ([A-Z]{4}-[A-Z]{4})", text):
                page = re.search(r"(http\S+/login/device)\s", text)
                assert page, text
                return process, page[1], found[1]
        raise AssertionError(f"no code: {text}")


class Browser:
    """A person at the page: sends forms and keeps the cookie."""

    def __init__(self, tenure):
        self.tenure, self.cookie = tenure, ""

    def fill(self, path, **fields):
        """Posts a form, or gets the page when there are no fields; returns status, headers and text."""
        url = urllib.parse.urlsplit(self.tenure.url)
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.tenure.url,
                   "Sec-Fetch-Site": "same-origin", "Cookie": self.cookie}
        method = "POST" if fields else "GET"
        connection.request(method, path, urllib.parse.urlencode(fields) or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if cookie := answer.getheader("Set-Cookie"):
            self.cookie = cookie.split(";")[0]
        return answer.status, answer.headers, text


@pytest.fixture
def terminal(simulated, tmp_path):
    """A terminal in an organization with simulated devices."""
    terminal = Terminal(simulated, tmp_path)
    yield terminal
    terminal.upstream.close()


@pytest.fixture
def browser(simulated):
    """A member of the organization at a browser, not signed in yet."""
    browser = Browser(simulated.tenure)
    browser.email = f"{simulated.id}@example.test"
    simulated.tenure.run("admin", "user", "create", browser.email, "--org", simulated.id, "--role", "readwrite")
    command = [harness.TENURE, "admin", "user", "password", browser.email, "--password-stdin", "--database", simulated.tenure.database]
    subprocess.run(
        command, input=PASSWORD + "\n", text=True, check=True, capture_output=True, timeout=60,
        cwd=simulated.tenure.folder, env=simulated.tenure.environment,
    )
    return browser


def signed_in(browser, code):
    """Signs in on the page and comes back to the code."""
    status, headers, text = browser.fill("/sign-in", email=browser.email, password=PASSWORD, back=f"/login/device?user_code={code}")
    assert (status, headers["Location"]) == (303, f"/login/device?user_code={code}"), text
    status, _, text = browser.fill(headers["Location"])
    assert status == 200, text
    return text


def test_auth_login(terminal, browser, simulated):
    """It shows a code, a person approves it on the page, and from then on it works with its built-in hosts."""
    process, page, code = terminal.login()
    assert page == f"{simulated.tenure.url}/login/device"
    text = signed_in(browser, code)
    assert "mobilecli/1.0.9" in text and "127.0.0.1" in text and simulated.name in text
    status, _, text = browser.fill("/login/device", action="allow", user_code=code, organization=simulated.id)
    assert status == 200, text
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Successfully logged in" in out, out
    assert terminal.run("auth", "token")[1].startswith("mob_")

    code, out = terminal.run("remote", "list-devices")
    assert code == 0 and '"android"' in out, out
    token = browser.cookie.removeprefix("tenure-session=")
    status, keys = simulated.tenure.get("/api/v1/keys", token)
    assert (status, [key["name"] for key in keys["data"]]) == (200, ["mobilecli/1.0.9 at 127.0.0.1"])
    assert simulated.tenure.call("DELETE", f"/api/v1/keys/{keys['data'][0]['id']}", token)[0] == 204
    code, out = terminal.run("remote", "list-devices")
    assert code != 0 and re.search("key|credential|token", out), out


def test_auth_login_is_not_let_in(terminal, browser):
    """A person denies it on the page, and the program reports that."""
    process, _, code = terminal.login()
    signed_in(browser, code)
    assert browser.fill("/login/device", action="deny", user_code=code)[0] == 200
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0 and "access_denied" in out, out
