// Shared by the programs that use a browser without scripts.

import { createHmac } from "node:crypto";
import { chromium } from "playwright-core";

/** Prints the check when it passes; throws it when it fails. */
export function check(what, holds) {
  if (!holds) throw new Error(what);
  console.log(what);
}

/** The code of an authenticator app (RFC 6238), `steps` half minutes from now. */
export function code(secret, steps = 0) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  let bits = "";
  for (const letter of secret.replaceAll(" ", "")) bits += letters.indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac("sha1", key).update(counter).digest();
  const at = digest[19] & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});

/** Pictures of a page, light and dark, wide and narrow. The page must not scroll sideways. */
export async function picture(page, folder, name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const width of [1100, 390]) {
      await page.setViewportSize({ width, height: 800 });
      const wide = await page.locator("html").evaluate((html) => html.scrollWidth).catch(() => width);
      check(`${name} fits ${width} px`, wide <= width);
      await page.screenshot({ path: `${folder}/${name}-${scheme}-${width}.png`, fullPage: true });
    }
  }
}
