"""People at a browser: sign-in, second factors and passwords, on the pages of the server."""

import os
import pathlib
import shutil
import subprocess

import pytest

import harness

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PASSWORD = "correct horse"


@pytest.fixture
def ana(organization):
    """The address of a member with a password."""
    tenure, email = organization.tenure, f"ana-{next(harness._numbers)}@example.test"
    command = [
        harness.TENURE, "admin", "user", "create", email, "--org", organization.id, "--role", "readwrite", "--password-stdin",
        "--database", tenure.database,
    ]
    done = subprocess.run(
        command, input=PASSWORD, text=True, cwd=tenure.folder, env=tenure.environment, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return email


def test_a_person_gets_in_and_out_by_the_pages(organization, ana, tmp_path):
    """Without scripts: a wrong password, a second factor, a recovery code, a new password, signing out everywhere."""
    assert CHROMIUM, "there is no Chromium: apt-get install chromium, or name it with CHROMIUM"
    pictures = pathlib.Path(os.environ.get("TENURE_TEST_PICTURES", tmp_path))
    pictures.mkdir(exist_ok=True, parents=True)
    command = ["node", str(harness.HERE / "people.mjs"), organization.tenure.url, ana, PASSWORD, str(pictures)]
    environment = harness.clean_environment(tmp_path, CHROMIUM=CHROMIUM)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "signed out everywhere" in done.stdout

    sessions = organization.tenure.admin("login-sessions", "list", "--user", ana)
    assert sessions == [], "all are ended"


def test_people_get_in_by_an_issuer(tmp_path, tmp_path_factory):
    """A known person, a new person from a group, refused people; a second factor, a fresh sign-in, a mail."""
    assert CHROMIUM, "there is no Chromium: apt-get install chromium, or name it with CHROMIUM"
    pictures = pathlib.Path(os.environ.get("TENURE_TEST_PICTURES", tmp_path / "pictures"))
    pictures.mkdir(exist_ok=True, parents=True)
    folder = tmp_path_factory.mktemp("issuer")
    port = harness.free_port()
    issuer = f"http://127.0.0.1:{port}"
    tenure = harness.Tenure(
        f"sqlite:{folder / 'tenure.db'}", folder, TENURE_OIDC_ISSUER=issuer, TENURE_OIDC_CLIENT_ID="tenure",
        TENURE_OIDC_CLIENT_SECRET="shown to nobody", TENURE_OIDC_NAME="Example", TENURE_OIDC_ROLES="devs=Acme:readonly",
        TENURE_OIDC_SCOPES="openid email profile groups", TENURE_FRESH_AUTH="20s", TENURE_MAIL=folder / "outbox",
    )
    tenure.admin("org", "create", "Acme")
    tenure.admin("user", "create", "ana@example.test", "--org", "Acme", "--role", "readwrite")
    environment = harness.clean_environment(tmp_path, CHROMIUM=CHROMIUM)
    served = ["node", harness.HERE / "issuer.mjs", port, f"{tenure.url}/sign-in/oidc/callback"]
    provider = harness.Program("issuer", served, folder, environment)
    provider.until("the issuer listens", lambda: "listening" in provider.tail())

    command = ["node", harness.HERE / "oidc.mjs", tenure.url, issuer, folder / "outbox", pictures]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{tenure.program.tail()}\n{provider.tail()}"
    assert "the password opens the account" in done.stdout
    people = tenure.admin("user", "list", "--org", "Acme")
    members = {(one["email"], here["role"]) for one in people for here in one["organizations"]}
    assert members == {("ana@example.test", "readwrite"), ("dev@example.test", "readonly")}

    # The issuer is down: the page says so, and everything else works.
    assert provider.stop() is not None
    status, page = tenure.call("GET", "/sign-in?failed=down")
    assert (status, b"cannot be reached" in page) == (200, True)
    log = tenure.program.log.read_text(errors="replace")
    assert "a sign-in by OpenID Connect was refused" in log
    assert "shown to nobody" not in log and "code=" not in log, "no secret is logged"
    assert tenure.program.stop() == 0
