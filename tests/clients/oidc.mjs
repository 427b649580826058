// People at browsers without scripts who sign in through an issuer. Prints a line for each step; fails when a page is wrong.
//
// node oidc.mjs BASE ISSUER OUTBOX FOLDER. Pictures of the pages go to FOLDER.

import { readFile, readdir } from "node:fs/promises";
import { browser, check, code, picture } from "./browser.mjs";

const [base, issuer, outbox, folder] = process.argv.slice(2);

const problems = [];
let callback;

async function open() {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1100, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (message) => problems.push(message.text()));
  page.on("request", (request) => {
    if (request.url().includes("/sign-in/oidc/callback?")) callback = request.url();
  });
  return page;
}

/** At the issuer: signs in with this login, and consents. */
async function asks(page, login) {
  check(`${login} is at the issuer`, page.url().startsWith(issuer));
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", "any");
  await page.click("button[type=submit]");
  if (page.url().startsWith(issuer)) await page.click("button[type=submit]");
}

async function enter(page, login) {
  await page.goto(`${base}/sign-in`);
  await page.click("text=Sign in with Example");
  await asks(page, login);
}

const said = (page, role = "alert") => page.textContent(`[role=${role}]`);

/** The token of the newest mail. */
async function mailed() {
  for (let tries = 0; tries < 100; tries++) {
    const names = (await readdir(outbox).catch(() => [])).filter((name) => name.endsWith(".eml"));
    if (names.length > 0) {
      const text = await readFile(`${outbox}/${names.at(-1)}`, "utf8");
      // Quoted-printable mail folds long lines.
      const plain = text.replace(/=\r?\n/g, "").replaceAll("=3D", "=");
      return plain.trim().split(/\s+/).at(-1);
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error("no mail came");
}

try {
  const page = await open();
  await page.goto(`${base}/sign-in`);
  await picture(page, folder, "oidc-sign-in");
  await enter(page, "nobody");
  check("who is unknown is told so", (await said(page)).includes("no account here yet"));
  await picture(page, folder, "oidc-unknown");
  const other = await open();
  await enter(other, "eve");
  check("an unverified address signs nobody in", (await said(other)).includes("has not verified your e-mail address"));

  const dev = await open();
  await enter(dev, "dev");
  const entered = Date.now();
  check("somebody new of a known group is in", dev.url() === `${base}/account`);
  check("without a password", (await dev.textContent("main")).includes("You have no password here"));
  await picture(dev, folder, "oidc-account");

  const ana = await open();
  await enter(ana, "ana");
  check("a known person is in", ana.url() === `${base}/account`);
  check("by the issuer", (await ana.textContent(".sessions")).includes("by your organization"));
  const used = callback;
  await ana.goto(used);
  check("what brought her in brings nobody in again", (await said(ana)).includes("used before"));
  const thief = await open();
  await thief.goto(used);
  check("nor elsewhere", (await said(thief)).includes("used before"));

  const denied = await open();
  await denied.goto(`${base}/sign-in`);
  await denied.click("text=Sign in with Example");
  await denied.click("text=Cancel");
  check("who turns back is told so", (await said(denied)).includes("refused the sign-in"));

  await ana.goto(`${base}/account`);
  await ana.click("text=Set it up");
  const secret = await ana.textContent("#secret");
  await ana.fill("#confirm-code", code(secret));
  await ana.click("text=Turn it on");
  const again = await open();
  await enter(again, "ana");
  check("a second factor is asked for after the issuer", (await again.textContent("h1")) === "One more step");
  await again.fill("#code", code(secret, 1));
  await again.click("button[type=submit]");
  check("and lets her in", again.url() === `${base}/account`);
  check("with both", (await again.textContent(".sessions")).includes("with a second factor"));
  await again.click("text=Sign out everywhere");
  check("signed out everywhere", again.url().includes("/sign-in"));
  await ana.goto(`${base}/account`);
  check("also elsewhere", ana.url().includes("/sign-in"));

  // Dev's sign-in must be older than `fresh_auth`, which is 20 s here.
  await new Promise((done) => setTimeout(done, entered + 21_000 - Date.now()));
  await dev.goto(`${base}/account`);
  await dev.click("text=Set it up");
  check("who has no password is sent to the issuer again", (await dev.textContent("main")).includes("Sign in again with"));
  await picture(dev, folder, "oidc-again");
  await dev.click("text=Sign in again with Example");
  await asks(dev, "dev");
  check("and comes back to the account", dev.url() === `${base}/account`);
  await dev.click("text=Set it up");
  check("where it goes on", await dev.locator(".qr svg").isVisible());

  const lost = await open();
  await lost.goto(`${base}/restore`);
  await lost.fill("#email", "dev@example.test");
  await lost.click("button[type=submit]");
  check("a mail is on its way", (await said(lost, "status")).includes("on its way"));
  await lost.goto(`${base}/restore/verify`);
  await lost.fill("#token", await mailed());
  await lost.fill("#new", "correct horse");
  await lost.click("button[type=submit]");
  check("a password is set by mail", (await said(lost, "status")).includes("password is set"));
  await dev.goto(`${base}/account`);
  check("which ends all sessions", dev.url().includes("/sign-in"));
  await lost.fill("#email", "dev@example.test");
  await lost.fill("#password", "correct horse");
  await lost.click("button[type=submit]");
  check("the password opens the account", lost.url() === `${base}/account`);
  const refused = problems.filter((text) => text.includes("Content Security Policy") && text.includes(base));
  check(`nothing breaks the policy ${refused}`, refused.length === 0);
} finally {
  await browser.close();
}
