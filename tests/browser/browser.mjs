// Debian's Chromium, and what every page must hold: no error on the console, nothing serious from axe-core.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const { BASE, API, BROKER, CODE, CONFIG, PICTURES } = process.env;
export const WIDTH = Number(process.env.WIDTH);
export const narrow = WIDTH < 900;
export const PASSWORD = "correct horse";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

export async function open() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  const context = await browser.newContext({
    viewport: { width: WIDTH, height: narrow ? 780 : 900 }, deviceScaleFactor: narrow ? 2 : 1, locale: "en-GB",
    timezoneId: "Asia/Tbilisi", hasTouch: narrow, isMobile: narrow,
  });
  context.setDefaultTimeout(15_000);
  // Outside the page's policy, which forbids inline scripts: axe comes in through the debugger.
  await context.addInitScript(axe);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(`${page.url()}: ${error}`));
  page.on("console", (line) => { if (line.type() === "error") errors.push(`${page.url()}: ${line.text()}`); });
  process.once("uncaughtException", async (error) => {
    console.error(error, errors);
    await page.screenshot({ path: `${PICTURES}/failed-${WIDTH}.png`, fullPage: true }).catch(() => {});
    process.exit(1);
  });
  return { browser, context, page, errors };
}

/// A page that answered 4xx on purpose is told by the browser as an error of the console.
export function expected(errors, words) {
  const at = errors.findIndex((error) => error.includes(words));
  assert(at >= 0, `no error with "${words}": ${errors}`);
  errors.splice(at, 1);
}

export async function check(page, name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    const found = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
    const bad = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const words = bad.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.slice(0, 5).map((node) => `${node.html}\n    ${node.failureSummary}`).join("\n  ")}`);
    assert.deepEqual(words, [], `${name}, ${scheme}`);
  }
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert(over <= 0, `${name} is ${over} px wider than the screen`);
}

export async function picture(page, name, options = {}) {
  await page.evaluate(() => document.activeElement?.blur());
  const size = page.viewportSize();
  // In a picture of the whole page the bar under the thumb belongs at its foot: the screen grows instead.
  if (options.fullPage && narrow) await page.setViewportSize({ ...size, height: await page.evaluate(() => document.body.scrollHeight) });
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await page.screenshot({ path: `${PICTURES}/${name}-${WIDTH}-${scheme}.png`, ...options });
  }
  await page.setViewportSize(size);
}

export const publish = (topic, payload) =>
  execFileSync("mosquitto_pub", ["-p", BROKER, "-q", "1", "-t", topic, "-m", typeof payload === "string" ? payload : JSON.stringify(payload)]);

export async function control(path, body, method = "POST") {
  const answer = await fetch(`${API}/_simulator${path}`, { method, headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) });
  const words = await answer.text();
  assert(answer.ok, `${path}: ${words}`);
  return words ? JSON.parse(words) : null;
}

export async function until(what, reached, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const found = await reached();
    if (found) return found;
    await new Promise((go) => setTimeout(go, 100));
  }
  assert.fail(`waited ${seconds} s for ${what}`);
}
