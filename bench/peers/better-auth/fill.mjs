// Fills 10,000 sessions: 20 of a person who signs in through the API, the others by SQL. Prints the requests to measure.
import { readFileSync } from "node:fs";
import { pool } from "./auth.mjs";

const url = process.env.BETTER_AUTH_URL;
const body = { email: "few@bench.example", password: "correct horse battery" };
const json = { "content-type": "application/json", origin: url };
const post = (path, body) => fetch(url + path, { method: "POST", headers: json, body: JSON.stringify(body) });

await pool.query(`INSERT INTO "user" (id, name, email, "emailVerified", "createdAt", "updatedAt")
  SELECT 'user-' || n, 'User ' || n, 'user' || n || '@bench.example', true, now(), now() FROM generate_series(1, 499) n`);
await pool.query(`INSERT INTO session (id, "expiresAt", token, "createdAt", "updatedAt", "ipAddress", "userAgent", "userId")
  SELECT 'session-' || n, now() + interval '7 days', md5('token' || n), now(), now(), '10.0.0.7', 'curl/8.14.1',
         'user-' || (n % 499 + 1) FROM generate_series(1, 9980) n`);
let response = await post("/api/auth/sign-up/email", { ...body, name: "Few" });
for (let number = 1; number < 20; number += 1) response = await post("/api/auth/sign-in/email", body);
const token = response.headers.get("set-auth-token");
if (!response.ok || !token) throw new Error(`${response.status} ${await response.text()}`);
const headers = { authorization: `Bearer ${token}` };
const list = await fetch(url + "/api/auth/list-sessions", { headers });
const sessions = await list.json();
if (sessions.length !== 20) throw new Error(`${sessions.length} sessions instead of 20`);
const { version } = JSON.parse(readFileSync("node_modules/better-auth/package.json", "utf8"));
console.log(JSON.stringify({
  version,
  start: `NODE_ENV=production node server.mjs (Node.js ${process.version})`,
  requests: {
    list: { method: "GET", path: "/api/auth/list-sessions", headers },
    get: { method: "GET", path: "/api/auth/get-session", headers },
    create: { method: "POST", path: "/api/auth/sign-in/email", headers: { origin: url }, body },
  },
}));
await pool.end();
