"""A full disk, a failing disk, a failing fsync, and a database file that another program has locked. Afterwards everything
acknowledged is stored, nothing was acknowledged that was not done, and the server recovers by itself with the disk."""

import random
import sqlite3
import subprocess
import time

import pytest

import harness
from load import CHEAP, Crowd


class Disk:
    """Injects disk faults between a server and its database; faults.c has the letters of the faults."""

    rounds = 4

    def __init__(self, folder, letter):
        self.letter = letter
        library, self.told = folder / "faults.so", folder / "faults"
        command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, harness.HERE / "faults.c", "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        self.mend()
        self.environment = {"LD_PRELOAD": library, "FAULTS": self.told, "FAULTS_IN": "/tenure.db"}

    def fail(self):
        self.tell(self.letter)

    def mend(self):
        self.tell("-")

    def tell(self, letter):
        # In place: the server has this very file open.
        with self.told.open("r+" if self.told.exists() else "w") as file:
            file.write(letter)


class Lock:
    """Another program with a write transaction in the database that does not end."""

    # The server waits ten seconds each time.
    rounds = 2
    environment = {}

    def __init__(self, folder, _):
        self.database, self.connection = folder / "tenure.db", None

    def fail(self):
        self.connection = sqlite3.connect(self.database, timeout=30, isolation_level=None)
        self.connection.execute("BEGIN IMMEDIATE")

    def mend(self):
        if self.connection:
            self.connection.close()
        self.connection = None


FAULTS = {"full": (Disk, "w"), "full in the middle": (Disk, "h"), "failing": (Disk, "e"), "not safe": (Disk, "s"),
          "locked": (Lock, "")}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_loses_nothing_that_was_acknowledged(fault, tmp_path):
    make, letter = FAULTS[fault]
    disk = make(tmp_path, letter)
    tenure = harness.Tenure(f"sqlite:{tmp_path / 'tenure.db'}", tmp_path, **CHEAP, **disk.environment)
    crowd, when = Crowd(tenure, clients=8, unknown=(0, 500, 503, 504)), random.Random(7)
    refused = "a group of batches was not committed"

    def fails(then):
        time.sleep(when.uniform(0.1, 0.4))
        before = tenure.program.log.read_text().count(refused)
        disk.fail()
        noticed = lambda: tenure.program.log.read_text().count(refused) > before
        tenure.program.until("the failing disk is noticed", noticed)
        time.sleep(when.uniform(0.1, 0.4))
        then()

    def recovers():
        """While clients keep working, and without a restart."""
        disk.mend()
        before = sum(client.acknowledged for client in crowd.clients)
        goes_on = lambda: sum(client.acknowledged for client in crowd.clients) >= before + 20
        tenure.program.until("it goes on", lambda: crowd.wrong() or goes_on())

    for number in range(disk.rounds):
        killed = number % 2
        crowd.work(lambda: fails(tenure.program.kill if killed else recovers))
        disk.mend()
        if killed:
            tenure.start()
        crowd.check()
    print(f"{disk.rounds} times {fault}: {crowd}")
    assert crowd.total("revoked") > disk.rounds and crowd.total("made") > disk.rounds
    assert tenure.program.stop() == 0, tenure.program.tail()
    assert "intact" in tenure.run("admin", "audit", "verify")
