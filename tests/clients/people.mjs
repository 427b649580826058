// One person at a browser without scripts: signs in, sets up a second factor, loses the app, changes the password and signs out
// everywhere. Prints a line for each step; fails when a page is wrong.
//
// node people.mjs BASE EMAIL PASSWORD FOLDER. Pictures of the pages go to FOLDER.

import { browser, check, code, picture } from "./browser.mjs";

const [base, email, password, folder] = process.argv.slice(2);
const changed = `${password} anew`;

const problems = [];

async function open(options = {}) {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (message) => problems.push(message.text()));
  return page;
}

async function signIn(page, word = password) {
  await page.goto(`${base}/sign-in`);
  await page.fill("#email", email);
  await page.fill("#password", word);
  await page.click("button[type=submit]");
}

try {
  const page = await open();
  await page.goto(`${base}/account`);
  check("an anonymous visitor is sent to the sign-in", page.url().includes("/sign-in"));
  await picture(page, folder, "sign-in");
  await signIn(page, "wrong horse");
  check("a wrong password is reported", (await page.textContent("[role=alert]")).includes("not right"));
  await picture(page, folder, "wrong");
  await signIn(page);
  check("a right one opens the account", page.url() === `${base}/account`);
  check("this browser is marked", (await page.textContent(".tag")) === "this browser");

  await page.click("text=Set it up");
  const secret = await page.textContent("#secret");
  check("a QR code is drawn", await page.locator(".qr svg").isVisible());
  await picture(page, folder, "enrol");
  await page.fill("#confirm-code", code(secret));
  await page.click("text=Turn it on");
  const codes = await page.locator(".codes code").allTextContents();
  check("there are ten recovery codes", codes.length === 10);
  await picture(page, folder, "recovery");

  const other = await open();
  await signIn(other);
  check("a second factor is asked for", (await other.textContent("h1")) === "One more step");
  await picture(other, folder, "code");
  await other.fill("#code", "000000");
  await other.click("button[type=submit]");
  check("a wrong code is reported", (await other.textContent("[role=alert]")).includes("not right"));
  await other.fill("#code", code(secret, 1));
  await other.click("button[type=submit]");
  check("a right one opens the account too", other.url() === `${base}/account`);

  const third = await open();
  await signIn(third);
  await third.fill("#code", codes[0]);
  await third.click("button[type=submit]");
  check("so does a recovery code", third.url() === `${base}/account`);
  await picture(third, folder, "account");

  const fourth = await open();
  await signIn(fourth);
  await fourth.fill("#code", codes[0]);
  await fourth.click("button[type=submit]");
  check("a recovery code works once", (await fourth.textContent("[role=alert]")).includes("used before"));

  await page.goto(`${base}/account`);
  await page.fill("#old", password);
  await page.fill("#new", changed);
  await page.click("text=Change the password");
  check("the password is changed", (await page.textContent("[role=status]")).includes("changed"));
  await other.goto(`${base}/account`);
  check("which ends the other sessions", other.url().includes("/sign-in"));
  await signIn(other);
  check("the old password is refused", (await other.textContent("[role=alert]")).includes("not right"));
  await signIn(other, changed);
  await other.fill("#code", codes[1]);
  await other.click("button[type=submit]");
  check("the new password works", other.url() === `${base}/account`);

  await page.goto(`${base}/account`);
  await page.click("text=Sign out everywhere");
  check("signed out everywhere", page.url().includes("/sign-in"));
  await other.goto(`${base}/account`);
  check("also elsewhere", other.url().includes("/sign-in"));
  const refused = problems.filter((text) => text.includes("Content Security Policy"));
  check(`nothing breaks the policy ${refused}`, refused.length === 0);
} finally {
  await browser.close();
}
