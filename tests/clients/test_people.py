"""People at a browser: signing in, second factors, and passwords, on the pages that Tenure serves."""

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
        harness.TENURE, "user", "create", email, "--org", organization.id, "--role", "readwrite", "--password-stdin",
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
