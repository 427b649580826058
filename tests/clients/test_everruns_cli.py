"""The unmodified `everruns` command line 0.50.1 against a Tenure server."""

import json
import subprocess

import harness
import pytest


@pytest.fixture(params=["", "/everruns/api"], ids=["root", "alias"])
def base(request, tenure):
    """The wire's base URL, and its alias."""
    return tenure.url + request.param


class Everruns:
    """A new member at a terminal with `everruns`."""

    def __init__(self, organization, base, role="readwrite"):
        assert harness.EVERRUNS.exists(), f"{harness.EVERRUNS} is missing: run scripts/test clients, which installs it"
        self.home = organization.folder
        self.environment = harness.clean_environment(
            self.home, EVERRUNS_API_URL=base, EVERRUNS_API_KEY=organization.key(role, "everruns")["secret"],
        )

    def run(self, *arguments):
        """Runs a command."""
        command = [harness.EVERRUNS, *map(str, arguments)]
        return subprocess.run(command, env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=60)

    def says(self, *arguments):
        """Runs a command that must succeed without a warning. Returns what it prints."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), f"everruns {arguments}: {done}"
        return done.stdout

    def ok(self, *arguments):
        """Runs a command that must succeed without a warning. Returns the JSON that it prints."""
        return json.loads(self.says("-o", "json", *arguments))

    def refused(self, *arguments):
        """Runs a command that the server must refuse. Returns the code and the sentence."""
        done = self.run(*arguments)
        assert done.returncode == 1, f"everruns {arguments}: {done}"
        problem = json.JSONDecoder().raw_decode(done.stderr[done.stderr.index("{"):])[0]
        return problem["code"], problem["detail"]


def test_agents_from_creation_to_deletion(organization, base):
    """Create, list, get, update, upsert, check a name, copy, export in every format, delete."""
    ana = Everruns(organization, base)
    assert ana.ok("agents", "list") == {"data": [], "total": 0, "offset": 0, "limit": 20}
    made = ana.ok(
        "agents", "create", "--name", "triage", "--instructions", "Triage issues.", "--description", "Triages",
        "--model", "small", "-t", "ops", "-t", '["company", "ci"]', "--reason", "Too many issues",
    )
    assert (made["name"], made["description"], made["default_model_id"]) == ("triage", "Triages", "small")
    assert made["tags"] == ["ops", "company", "ci"]
    agent = made["id"]
    assert ana.says("agents", "create", "--name", "other", "--instructions", "Wait.").startswith("Created agent: agent_")
    assert [a["name"] for a in ana.ok("agents", "list")["data"]] == ["other", "triage"]
    found = ana.ok("agents", "list", "--search", "TRI", "--limit", 1, "--include-archived", "false")
    assert (found["data"], found["total"], found["limit"]) == ([made], 1, 1)
    assert ana.ok("agents", "get", agent) == ana.ok("agents", "get", "triage") == made

    says = ana.says("agents", "update", agent, "--name", "triage", "--instructions", "Triage all.", "-t", "ops")
    assert says.startswith(f"Applied agent: {agent}\n")
    got = ana.ok("agents", "get", agent)
    assert (got["system_prompt"], got["tags"], "description" in got) == ("Triage all.", ["ops"], False)
    prompt = ana.home / "prompt.md"
    prompt.write_text("Triage\neverything.")
    upserted = ana.ok(
        "agents", "upsert", agent, "--name", "triage", "--system-prompt", f"@{prompt}", "--display-name", "Triage",
        "--capabilities", '[{"ref": "current_time"}]', "--tags", "a,b", "--reason", "Deploy",
    )
    assert (upserted["was_created"], upserted["system_prompt"]) == (False, "Triage\neverything.")
    assert (upserted["tags"], upserted["capabilities"]) == (["a", "b"], [{"ref": "current_time"}])
    new = f"agent_{'a' * 32}"
    assert ana.ok("agents", "upsert", new, "--name", "new", "--system-prompt", "Be new.")["was_created"]

    assert ana.ok("agents", "check-name", "--name", "triage") == {"available": False}
    assert ana.ok("agents", "check-name", "--name", "triage", "--exclude-id", agent) == {"available": True}
    assert ana.ok("agents", "check-name", "--name", "free") == {"available": True}
    copies = [ana.ok("agents", "copy", reference)["name"] for reference in (agent, "triage")]
    assert copies == ["triage-copy", "triage-copy-2"]

    manifest = json.loads(ana.says("agents", "export", agent, "--format", "json"))
    assert (manifest["name"], manifest["display_name"]) == ("triage", "Triage")
    assert (manifest["instructions"], manifest["tags"]) == ("Triage\neverything.", ["a", "b"])
    assert [capability["ref"] for capability in manifest["capabilities"]] == ["current_time"]
    assert ana.says("agents", "export", "triage").endswith("---\nTriage\neverything.")
    for form in ("markdown", "toml", "yaml", "json", "zip"):
        file = ana.home / f"triage.{form}"
        assert ana.says("agents", "export", "triage", "--format", form, "--out", file) == ""
        assert ana.ok("agents", "validate", file)["name"] == "triage"
        file.unlink()

    assert ana.ok("agents", "delete", agent) == {"deleted": True}
    assert ana.refused("agents", "get", agent) == ("not_found", "Agent not found")
    assert sorted(a["name"] for a in ana.ok("agents", "list")["data"]) == ["new", "other", "triage-copy", "triage-copy-2"]


def test_refusals_name_the_argument(organization, base):
    """What Tenure cannot keep, ids of no agent, names in use, and a reader's changes."""
    ana, reader = Everruns(organization, base), Everruns(organization, base, "readonly")
    agent = ana.ok("agents", "create", "--name", "triage", "--instructions", "Triage.")["id"]
    create = ("agents", "create", "--name", "new", "--instructions", "Be new.")
    code, sentence = ana.refused(*create, "--harness", "generic")
    assert (code, sentence.partition(" ")[0]) == ("invalid_request", "params.harness_name:")
    upsert = ("agents", "upsert", agent, "--name", "triage", "--system-prompt", "Changed.")
    for flag, value, argument in [
        ("--tools", '[{"name": "ls"}]', "tools"), ("--max-iterations", "3", "max_iterations"),
        ("--mcpServers", '{"a": {}}', "mcpServers"), ("--communication", "explicit", "communication"),
    ]:
        code, sentence = ana.refused(*upsert, flag, value)
        assert (code, sentence.partition(" ")[0]) == ("invalid_request", f"params.{argument}:")
    assert ana.refused("agents", "delete", "triage")[1].startswith("params.id: expected an agent ID")
    taken = ("already_exists", 'an agent named "triage" exists already')
    assert ana.refused("agents", "create", "--name", "triage", "--instructions", "Again.") == taken
    assert ana.ok("agents", "get", agent)["system_prompt"] == "Triage."
    assert reader.ok("agents", "list")["total"] == 1
    assert reader.ok("agents", "get", "triage")["id"] == agent
    for command in [create, upsert, ("agents", "copy", agent), ("agents", "delete", agent)]:
        assert reader.refused(*command)[0] == "forbidden"


def test_an_agents_session(organization, base):
    """A session of an agent, which the command line creates, lists, renames and deletes."""
    ana = Everruns(organization, base)
    agent = ana.ok("agents", "create", "--name", "triage", "--instructions", "Triage.")["id"]
    session = ana.ok("sessions", "create", "--agent", agent, "--title", "First")["id"]
    assert [s["title"] for s in ana.ok("sessions", "list", "--agent-id", agent)["data"]] == ["First"]
    ana.ok("sessions", "update", session, "--title", "Second")
    assert ana.ok("sessions", "get", session)["title"] == "Second"
    ana.says("sessions", "delete", session)
    assert ana.refused("sessions", "get", session) == ("not_found", "Session not found")
