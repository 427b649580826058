"""Two servers on one PostgreSQL: a read sees every write that either of them acknowledged before it began.

8 writers and 8 readers use both servers for `TENURE_TEST_STALE_SECONDS` (`bench/stale`, the acceptance run: 60), once in peace and
once while one of the servers is killed with -9 every few seconds. `TENURE_TEST_STALE_SEED` repeats the choices of a run."""

import collections
import os
import random
import threading
import time

import pytest

import harness
from stale import Pair, Reader, Writer

SECONDS = float(os.environ.get("TENURE_TEST_STALE_SECONDS", "3"))
SEED = int(os.environ.get("TENURE_TEST_STALE_SEED", random.randrange(1_000_000)))
WRITERS = READERS = 8


@pytest.fixture
def pair(postgres, tmp_path):
    """Two servers with the same database and master key."""
    tenures = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tenures.append(harness.Tenure(postgres, tmp_path / name, TENURE_MASTER_KEY=tmp_path / "master.key"))
    yield Pair(*tenures)
    for tenure in tenures:
        assert tenure.program.stop() == 0, f"the server did not end well:\n{tenure.program.tail()}"


def use(pair, meanwhile):
    """Writes and reads while `meanwhile` is called again and again, and prints the counts."""
    writers = [Writer(pair, number, SEED) for number in range(WRITERS)]
    readers = [Reader(pair, number, SEED) for number in range(READERS)]
    threads = [threading.Thread(target=client.run, daemon=True) for client in writers + readers]
    for thread in threads:
        thread.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not pair.wrong:
        meanwhile()
    pair.over.set()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a client did not finish"
    if not pair.wrong:
        readers[0].read_everything()
    counts = sum((client.counts for client in writers + readers), collections.Counter())
    counts["kills"] = sum(len(server.outages) for server in pair.servers)
    names = ("writes", "uncertain", "reads", "walks", "kills", "broken", "503")
    print("\n" + ", ".join(f"{counts[name]} {name}" for name in names) + f"; seed {SEED}")
    assert not pair.wrong, f"{len(pair.wrong)} wrong:\n" + "\n".join(pair.wrong[:5])
    assert counts["writes"] >= 20 * SECONDS and counts["walks"] >= 5 * SECONDS
    return counts


def test_no_read_is_older_than_a_write_on_either_server(pair):
    counts = use(pair, lambda: time.sleep(0.1))
    assert counts["uncertain"] == counts["broken"] == counts["503"] == 0


def test_nor_when_a_server_is_killed_every_few_seconds(pair):
    when = random.Random(SEED)

    def kill():
        time.sleep(when.uniform(0.2, min(3.0, SECONDS / 4)))
        when.choice(pair.servers).kill_and_restart()

    counts = use(pair, kill)
    assert counts["kills"] > 0 and counts["broken"] > 0

