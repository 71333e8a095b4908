// A picture of each page, light and dark, of a site with a day behind it; each is looked at by axe-core, too.
import assert from "node:assert/strict";
import { BASE, PASSWORD, check, narrow, open, picture } from "./browser.mjs";

const { browser, page, errors } = await open();
await page.goto(`${BASE}/login`);
await page.fill("#password", PASSWORD);
await page.click("button.main");
await page.waitForURL(`${BASE}/`);
await page.waitForSelector(".live.on", { state: "attached" });
const event = `topic=${encodeURIComponent("site/bar/freezer/7/temperature")}&payload=${encodeURIComponent('{"celsius": -3}')}`;
const shown = (path) => page.evaluate(async (path) => {
  const found = new DOMParser().parseFromString(await (await fetch(path)).text(), "text/html").querySelector("main a[href^='/alerts/'], main a[href^='/messages/']");
  return found?.getAttribute("href");
}, path);
await page.waitForSelector("#curves figure svg[role=img] desc", { state: "attached" });
const watched = await page.locator("#curves a[href^='/alerts/']").first().getAttribute("href");
const pages = { overview: "/", timeline: "/timeline", conversation: "/timeline?contact=nino", message: await shown("/outbox?state=all"),
  outbox: "/outbox?state=all", alerts: "/alerts", alert: await shown("/alerts"), "alert-values": watched, commands: "/commands", open: "/commands?show=open", audit: "/commands?show=trail",
  changes: "/commands?show=audit", devices: "/devices", device: "/devices/cold-room-1", contacts: "/contacts",
  rules: `/rules?${event}`, "configuration-managed": "/configuration", setup: "/setup", nothing: "/nowhere" };
for (const [name, path] of Object.entries(pages)) {
  await page.goto(BASE + path);
  await check(page, name);
  await picture(page, name, { fullPage: !["timeline", "conversation"].includes(name) });
}
const curves = { overview: ["/", 3], "alert-values": [watched, 1], device: ["/devices/cold-room-1", 1] };
for (const [language, words] of [["de", "Zuletzt"], ["en", "Last"]]) {
  await page.goto(BASE);
  await page.locator(`${narrow ? ".foot.below" : ".side .foot"} button[value=${language}]`).click();
  await page.waitForSelector(`html[lang=${language}]`);
  for (const [name, [path, count]] of Object.entries(curves)) {
    await page.goto(BASE + path);
    const told = await page.locator("figure.curve svg desc").allTextContents();
    assert(told.length >= count && told.every((text) => text.startsWith(words)), `${path}, ${language}: ${told}`);
    assert.equal(await page.locator("figure.curve path.curve").first().getAttribute("d").then((d) => /[1-9].*L/.test(d)), true, name);
    await check(page, `${name}, ${language}`);
    await picture(page, `${name}-${language}`, { fullPage: true });
  }
}
await page.goto(`${BASE}/configuration`);
assert.equal(await page.locator("#managed").count(), 1, "[http] has edit = false");
assert.equal(await page.locator("main button").count(), await page.locator("main .foot button").count(), "and nothing to press");
const left = errors.filter((error) => !error.includes("/nowhere"));
assert.deepEqual(left, []);
await browser.close();
