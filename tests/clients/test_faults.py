"""A disk that is full, that fails, and that cannot make safe what was written: what was acknowledged is there afterwards,
nobody is told that something was done which was not, and the server goes on by itself when the disk does."""

import random
import subprocess
import time

import pytest

import harness
from load import CHEAP, Crowd

# The letters that faults.c knows.
FAULTS = {"full": "w", "full in the middle": "h", "failing": "e", "not safe": "s"}
ROUNDS = 4


class Disk:
    """What stands between a server and its database: see faults.c."""

    def __init__(self, folder):
        library, self.told = folder / "faults.so", folder / "faults"
        command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, harness.HERE / "faults.c", "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        self.tell("-")
        self.environment = {"LD_PRELOAD": library, "FAULTS": self.told, "FAULTS_IN": "/tenure.db"}

    def tell(self, letter):
        # In place: the server looks into this very file.
        with self.told.open("r+" if self.told.exists() else "w") as file:
            file.write(letter)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_loses_nothing_that_was_acknowledged(fault, tmp_path):
    disk = Disk(tmp_path)
    tenure = harness.Tenure(f"sqlite:{tmp_path / 'tenure.db'}", tmp_path, **CHEAP, **disk.environment)
    crowd, when = Crowd(tenure, clients=8, unknown=(0, 500, 503, 504)), random.Random(7)
    refused = "a group of batches was not committed"

    def fails(then):
        time.sleep(when.uniform(0.1, 0.4))
        before = tenure.program.log.read_text().count(refused)
        disk.tell(FAULTS[fault])
        noticed = lambda: tenure.program.log.read_text().count(refused) > before
        tenure.program.until("the failing disk is noticed", noticed)
        time.sleep(when.uniform(0.1, 0.4))
        then()

    def recovers():
        """With its clients at work, and nobody who starts it again."""
        disk.tell("-")
        before = sum(client.acknowledged for client in crowd.clients)
        goes_on = lambda: sum(client.acknowledged for client in crowd.clients) >= before + 20
        tenure.program.until("it goes on", lambda: crowd.wrong() or goes_on())

    for number in range(ROUNDS):
        killed = number % 2
        crowd.work(lambda: fails(tenure.program.kill if killed else recovers))
        disk.tell("-")
        if killed:
            tenure.start()
        crowd.check()
    print(f"{ROUNDS} times {fault}: {crowd}")
    assert crowd.total("revoked") > ROUNDS and crowd.total("made") > ROUNDS
    assert tenure.program.stop() == 0, tenure.program.tail()
    assert "whole" in tenure.run("audit", "verify")
