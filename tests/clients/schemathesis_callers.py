"""Callers with all permissions for the requests of `test_schemathesis.py`, each with a credential and with objects that the requests
can name."""

from load import session_of

JSON = {"Content-Type": "application/json"}
PASSWORD = "a long password"


class Callers:
    """Makes callers, each in a separate organization. `check` is a method and path that succeeds as long as the caller is valid;
    `{org}` in it is their organization."""

    def __init__(self, served, run, wire, check):
        self.served, self.run, self.wire, self.check, self.host = served, run, wire, check, None

    def __call__(self):
        """A new caller for the hooks: headers; objects (part of a path, its parameters, and fields of the body that go with it);
        and values for fields of any body."""
        self.organization = self.served.organization()
        self.email = self.organization.login(PASSWORD, "admin")
        self.things = []
        self.says = {"email": self.email, "password": PASSWORD}
        self.says |= {name: PASSWORD for name in ("old", "new", "old-password", "new-password")}
        headers = self.headers()
        if self.wire in ("mobilenext", "everruns", "probe") or self.run == "tenure":
            headers["X-Org-ID" if self.wire == "everruns" else "X-Organization-ID"] = self.organization.id
        has = getattr(self, "has_" + self.run.replace("-", "_"), None)
        if has:
            has(headers)
        method, _, path = self.check.partition(" ")
        return {
            "organization": self.organization.id, "headers": headers, "things": self.things, "says": self.says,
            "check": (method, self.served.url + path.format(org=self.organization.id)),
        }

    def headers(self):
        if self.run == "house":
            return {}
        if self.run == "pages":
            # A browser with a session.
            token = self.signed_in()
            self.says["session"] = session_of(token)
            return {"Cookie": f"jwt={token}; tenure-session={token}", "Sec-Fetch-Site": "same-origin"}
        if self.run in ("probe", "tenure", "mobilenext"):
            return {"Authorization": f"Bearer {self.signed_in()}"}
        if self.run.endswith("-account"):
            return {"Authorization": f"Bearer {self.served.account_key('admin', self.wire)}"}
        return {"Authorization": f"Bearer {self.key(self.wire)}"}

    def has_mobilenext(self, headers):
        if self.host:
            self.host.stop()
        self.host = self.organization.host("--simulate", "android=4,ios=4")
        key, invite = self.key("mobilenext"), "/api/v1/members/invitations"
        for _ in range(10):
            self.has("/api/v1/sessions/{session}", session=self.made("/api/v1/sessions", key, None)["id"])
            token = headers["Authorization"].removeprefix("Bearer ")
            self.has("/api/v1/keys/{key}", key=self.made("/api/v1/keys", token, {"name": "key"})["id"])
        for member in self.served.get("/api/v1/members", key)[1]["members"]:
            if member["email"] != self.email:
                self.has("/members/{user}", user=member["userId"])
                self.says["userId"] = member["userId"]
        guest = self.made(invite, key, {"email": "x@example.test", "role": "readonly"})
        self.has("/members/invitations/{invitation}", invitation=guest["id"])
        elsewhere = self.served.organization().key("admin")["secret"]
        own = self.made(invite, elsewhere, {"email": self.email, "role": "readonly"})
        self.has("/invitations/{invitation}/", invitation=own["id"])

    def has_everruns(self, _):
        key = self.key("everruns")
        for number in range(5):
            agent = self.made("/v1/agents", key, {"name": f"helper-{number}", "system_prompt": "Help."})["id"]
            self.has("/agents/{agent}", agent=agent)
            for _ in range(4):
                session = self.made("/v1/sessions", key, {"agent_id": agent})["id"]
                self.has("/sessions/{session}", session=session)

    def has_devin(self, headers):
        self.has_agent_sessions()
        key = self.has_service_users("/v3/organizations", "org_viewer", headers)
        self.says["parent_session_id"] = self.things[0][1]["devin"]
        users = self.served.get("/v3/organizations/members/users", key)[1]["items"]
        user = next(one["user_id"] for one in users if one["email"] == self.email)
        self.says |= {"create_as_user_id": user, "user_id": user}
        self.has("/members/users/{user}", user=user)
        agent = {"name": "helper", "system_prompt": "Help."}
        self.says["agent_id"] = self.made("/v1/agents", self.key("everruns"), agent)["id"]

    has_devin_own = has_devin

    def has_devin_account(self, headers):
        self.has_agent_sessions()
        key = self.has_service_users("/v3/enterprise", "account_viewer", headers)
        self.says["org_id"] = self.organization.id
        for user in self.served.get("/v3/enterprise/members/users", key)[1]["items"]:
            self.has("/members/users/{user}", user=user["user_id"])

    def has_probe(self, _):
        self.has_login_sessions("/auth/session/{session}")
        token = self.signed_in()
        for _ in range(5):
            self.has("/api-token/{token}", token=self.made("/frontend/api/v1/auth/api-token", token, {})["id"])
        for number in range(3):
            email = f"{self.organization.id}-{number}@example.test"
            user = self.made("/frontend/api/v1/user/current", token, {"email": email, "password": PASSWORD})["id"]
            self.has("/user/{user}", user=user)
            self.has("/auth/{user}/password", user=user)

    def has_tenure(self, _):
        self.has_login_sessions("/me/sessions/{session}")
        self.has_agent_sessions()
        key, self.says["worker"] = self.key("tenure"), "w"
        self.says["worker_key"] = key
        for _ in range(10):
            turn = self.made("/tenure/v1/work/claim", key, {"worker": "w"})
            said = {name: turn[name] for name in ("turn", "fence", "organization")}
            self.has("/work/{session}/", said | {"first": 0, "turn_token": turn["token"]}, session=turn["session"])

    def has_tenure_account(self, _):
        for user in self.served.get("/v3/enterprise/members/users", self.served.account_key("admin", "devin"))[1]["items"]:
            self.has("/users/{user}", user=user["email"])

    def has_agent_sessions(self):
        key = self.key("devin")
        for _ in range(20):
            made = self.made("/v3/organizations/sessions", key, {"prompt": "work"})
            self.has("/sessions/{devin}", devin=made["session_id"])

    def has_login_sessions(self, part):
        for _ in range(10):
            self.has(part, session=session_of(self.signed_in()))

    def has_service_users(self, below, role, headers):
        """Makes some service users with a key each. Returns the key that made them."""
        key = headers["Authorization"].removeprefix("Bearer ")
        for number in range(5):
            made = self.made(f"{below}/service-users", key, {"name": f"helper {number}", "role_id": role})
            user = made["service_user"]["service_user_id"]
            made = self.made(f"{below}/service-users/{user}/api-keys", key, {"name": "key"})
            self.has("/service-users/{user}", user=user)
            self.has("/api-keys/{key}", user=user, key=made["api_key_id"])
        return key

    def has(self, part, said=None, **thing):
        self.things.append((part, {name: str(value) for name, value in thing.items()}, said or {}))

    def key(self, wire):
        """A key of another administrator of the organization."""
        return self.organization.key("admin", wire)["secret"]

    def signed_in(self):
        """The token of a new session."""
        return self.made("/frontend/api/v1/auth/sign-in", None, {"email": self.email, "password": PASSWORD})["jwt-token"]["token"]

    def made(self, path, key, body):
        """The body of a POST that must succeed."""
        status, answer = self.served.call("POST", path, key, body, JSON)
        assert status in (200, 201), (path, answer)
        return answer
