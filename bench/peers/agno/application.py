"""AgentOS with one agent, whose sessions are in an SQLite database."""

import os

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS

database = SqliteDb(db_file=os.environ["AGNO_BENCH_DATABASE"])
agent_os = AgentOS(id="bench", agents=[Agent(id="builder", name="builder", db=database, telemetry=False)], telemetry=False)
app = agent_os.get_app()
