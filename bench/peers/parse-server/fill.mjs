// Fills 10,000 sessions: 20 of a person who signs in through the API, the others by SQL. Prints the requests to measure.
import { readFileSync } from "node:fs";
import pgPromise from "pg-promise";

const url = `http://127.0.0.1:${process.env.PORT}/parse`;
const application = { "X-Parse-Application-Id": "bench" };
const body = { username: "few", password: "correct horse battery" };
const call = async (method, path, headers, body) => {
  const sent = { ...application, ...headers, "content-type": "application/json" };
  const response = await fetch(url + path, { method, headers: sent, body: body && JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} for ${path}: ${text}`);
  return JSON.parse(text);
};
await call("POST", "/users", {}, { ...body, email: "few@bench.example" });
let signedIn;
for (let number = 1; number < 20; number += 1) signedIn = await call("POST", "/login", {}, body);

const database = pgPromise()(process.env.DATABASE_URL);
await database.none(`INSERT INTO "_Session" ("objectId", "createdAt", "updatedAt", "sessionToken", "user", "createdWith", "expiresAt")
  SELECT 's' || n, now(), now(), 'r:' || md5('token' || n), 'u' || (n % 499), '{"action": "login", "authProvider": "password"}',
         now() + interval '1 year' FROM generate_series(1, 9980) n`);
await database.$pool.end();
const headers = { ...application, "X-Parse-Session-Token": signedIn.sessionToken };
const list = await call("GET", "/sessions?limit=20", headers);
if (list.results.length !== 20) throw new Error(`${list.results.length} sessions instead of 20`);
const { version } = JSON.parse(readFileSync("node_modules/parse-server/package.json", "utf8"));
console.log(JSON.stringify({
  version,
  start: `NODE_ENV=production ${process.argv[2]} (Node.js ${process.version})`,
  requests: {
    list: { method: "GET", path: "/parse/sessions?limit=20", headers },
    get: { method: "GET", path: `/parse/sessions/${list.results[0].objectId}`, headers },
    create: { method: "POST", path: "/parse/login", headers: application, body },
  },
}));
