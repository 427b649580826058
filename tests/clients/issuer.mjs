// An issuer of OpenID Connect on loopback: `oidc-provider`, with its own pages for sign-in and consent.
//
// node issuer.mjs PORT REDIRECT_URI. The login is a name from `accounts`; `dev` is in the group `devs`.

import { Provider } from "oidc-provider";

const [port, redirect] = process.argv.slice(2);

const accounts = {
  ana: { email: "ana@example.test", email_verified: true, name: "Ana" },
  eve: { email: "ana@example.test", email_verified: false, name: "Eve" },
  dev: { email: "dev@example.test", email_verified: true, name: "Dev", groups: ["devs", "other"] },
  nobody: { email: "nobody@example.test", email_verified: true, name: "Nobody" },
};

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "tenure", client_secret: "shown to nobody", redirect_uris: [redirect] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
  scopes: ["openid", "email", "profile", "groups"],
  cookies: { keys: ["only for tests"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
