"""Fixtures of the client tests: one server per database, one organization per test."""

import os
import pathlib
import subprocess
import tempfile
import uuid

import pytest

import harness


@pytest.fixture(scope="session")
def postgres_cluster():
    """The URL of a PostgreSQL cluster: the one in TENURE_TEST_POSTGRES, or one started for these tests."""
    if url := os.environ.get("TENURE_TEST_POSTGRES"):
        yield url
        return
    script = harness.ROOT / "scripts/postgres"
    with tempfile.TemporaryDirectory(prefix="tenure-postgres-") as folder:
        # Started by root, PostgreSQL runs as a user of its own, who may not enter the folders of pytest.
        os.chmod(folder, 0o711)
        cluster = pathlib.Path(folder, "cluster")
        started = subprocess.run([script, "start", cluster], stdout=subprocess.PIPE, text=True, check=True, timeout=120)
        yield started.stdout.strip().splitlines()[-1]
        subprocess.run([script, "stop", cluster], check=True, timeout=60)


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory):
    """A new SQLite database."""
    return f"sqlite:{tmp_path_factory.mktemp('sqlite') / 'tenure.db'}"


@pytest.fixture(scope="session")
def postgres(postgres_cluster):
    """A new PostgreSQL database in the run's cluster."""
    name = f"clients_{uuid.uuid4().hex[:12]}"

    def psql(statement):
        command = ["psql", postgres_cluster, "-q", "-v", "ON_ERROR_STOP=1", "-c", statement]
        subprocess.run(command, check=True, timeout=60)

    psql(f"CREATE DATABASE {name}")
    address, _, options = postgres_cluster.partition("?")
    yield f"{address.rpartition('/')[0]}/{name}" + (f"?{options}" if options else "")
    psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def tenure(request, tmp_path_factory):
    """A Tenure server on that database; it must stop cleanly on SIGTERM."""
    assert harness.TENURE.exists(), f"{harness.TENURE} is missing: build it, or name it with TENURE_BIN"
    server = harness.Tenure(request.getfixturevalue(request.param), tmp_path_factory.mktemp(request.param))
    yield server
    assert server.program.stop() == 0, f"the server did not end well:\n{server.program.tail()}"


@pytest.fixture
def organization(tenure):
    """An organization for one test; its hosts and the daemons of mobilecli end with the test."""
    before = list(harness.Program.running)
    yield tenure.organization()
    for client in harness.MobileCli.started:
        client.stop()
    harness.MobileCli.started.clear()
    for program in [p for p in harness.Program.running if p not in before and p is not tenure.program]:
        program.stop()


@pytest.fixture
def simulated(organization):
    """An organization with three simulated Android devices and two iOS devices, all listed."""
    host = organization.host("--simulate", "android=3,ios=2")
    person = organization.person("readonly")
    wanted = {"android", "ios"}
    host.until(
        "the simulated devices are listed",
        lambda: wanted <= {d["platform"] for d in person.ok("remote", "list-devices")["devices"]},
    )
    return organization


class Phone:
    """The fake phone behind the real `mobilecli server`, and the calls that reached it through adb."""

    def __init__(self, organization, log):
        self.organization, self.log = organization, log

    def calls(self):
        """The calls of adb so far, one per line."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def saw(self, command):
        """Whether this command has reached the phone."""
        return f"-s FAKE0001 {command}" in self.calls()


@pytest.fixture
def agent_port(tmp_path):
    """The port of the fake phone's agent."""
    port_file = tmp_path / "agent.port"
    command = [harness.python(), harness.FAKE_ADB / "agent.py", port_file]
    program = harness.Program("agent", command, tmp_path, harness.clean_environment(tmp_path))
    program.until("the agent listens", port_file.exists)
    yield port_file.read_text()
    program.stop()


@pytest.fixture
def phone_environment(tmp_path, agent_port):
    """The environment in which `adb` is the fake adb."""
    path = [str(harness.FAKE_ADB), str(pathlib.Path(harness.python()).parent), "/usr/bin", "/bin"]
    return {"PATH": ":".join(path), "FAKE_ADB_LOG": tmp_path / "adb.log", "FAKE_ADB_AGENT_PORT": agent_port}


@pytest.fixture
def phone(organization, phone_environment):
    """An organization with the fake phone, on a host that runs the real `mobilecli server`."""
    host = organization.host("--mobilecli", harness.MOBILECLI, **phone_environment)
    person = organization.person("readonly")
    host.until("the phone is listed", lambda: person.ok("remote", "list-devices")["devices"], seconds=60)
    return Phone(organization, phone_environment["FAKE_ADB_LOG"])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Adds the last log lines of all programs to a failure report."""
    report = (yield).get_result()
    if report.failed:
        for program in harness.Program.running:
            report.sections.append((f"log of {program.name} ({program.log})", program.tail()))


def pytest_sessionfinish():
    """Ends every process of this run."""
    harness.end_everything()
