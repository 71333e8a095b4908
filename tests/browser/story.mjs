// From the first visit to logging out, as the owner does it.
import assert from "node:assert/strict";
import { API, BASE, CODE, PASSWORD, check, control, expected, narrow, open, picture, publish, until } from "./browser.mjs";
import { changes } from "./configuration.mjs";

const { browser, context, page, errors } = await open();
const step = (words) => console.log(`  ${words}`);
const go = (path) => page.goto(BASE + path);
const text = (locator) => page.locator(locator).first();
const choose = async (name) => {
  const wide = page.locator(`nav a[href="${name}"]`);
  if (narrow && !["/", "/timeline", "/alerts", "/outbox"].includes(name)) {
    await page.locator("details.more summary").click();
    await page.locator(`details.more a[href="${name}"]`).click();
  } else await wide.first().click();
  await page.waitForURL(BASE + name);
};

step("first visit and password");
await go("/");
assert.equal(new URL(page.url()).pathname, "/welcome");
await check(page, "welcome");
await picture(page, "welcome");
const welcome = async (code, again = PASSWORD) => {
  await page.fill("[name=code]", code);
  await page.fill("[name=password]", PASSWORD);
  await page.fill("[name=again]", again);
  await page.click("button.main");
};
await welcome("AAAAA-AAAAA");
await page.waitForSelector("[role=alert]");
expected(errors, "403");
await welcome(CODE);
await page.waitForURL(`${BASE}/`);

step("an empty installation says the next step on each page");
await page.waitForSelector("#next >> text=Connect your WhatsApp number");
await check(page, "overview, empty");
await picture(page, "empty-overview", { fullPage: true });
for (const name of ["/timeline", "/alerts", "/outbox", "/commands"]) {
  await choose(name);
  await page.waitForSelector(".empty");
  await check(page, `${name}, empty`);
  await picture(page, `empty${name.replace("/", "-")}`);
}

step("connect a number in the simulator");
await choose("/setup");
await page.click("a.button[href='/setup/connect']");
const connect = async (token) => {
  await page.fill("[name=phone_number_id]", "109876543210123");
  await page.fill("[name=business_account_id]", "102290129340398");
  await page.fill("[name=access_token]", token);
  await page.fill("[name=app_secret]", "secret");
  await page.fill("[name=verify_token]", "verify");
  if (!await page.locator("#more").evaluate((more) => more.open)) await page.click("#more summary");
  await page.fill("[name=api_url]", API);
  await page.click("button.main");
};
await connect("wrong");
await page.waitForSelector("#checks .bad");
expected(errors, "422");
assert.equal(await page.inputValue("[name=access_token]"), "", "a secret is not shown again");
await check(page, "connect");
await picture(page, "connect", { fullPage: true });
await connect("token");
await page.waitForSelector(".hero.ok");
await check(page, "connected");
await picture(page, "connected", { fullPage: true });

step("an alert arrives without reload");
await choose("/");
await page.waitForSelector(".live.on, .foot.below .live.on", { state: "attached" });
await page.evaluate(() => { window.stays = true; });
publish("site/bar/freezer/2/temperature", { celsius: -12.5 });
await page.waitForSelector("#latest >> text=Freezer 2 in the bar");
assert(await page.evaluate(() => window.stays), "the page was not loaded again");

step("a tap on the phone page becomes a command, live");
await choose("/commands");
await page.evaluate(() => { window.stays = true; });
const phone = await context.newPage();
await phone.goto(`${API}/_simulator/`);
await phone.locator("nav button").first().click();
await phone.locator("li .tap", { hasText: "Stop defrost" }).first().click();
await page.waitForSelector("#commands >> text=defrost");
assert(await page.evaluate(() => window.stays));
await picture(phone, "phone");
await phone.close();
await check(page, "commands");

step("a device obeys, and stands under Devices");
await control("/reply", { from: "+995555123456", text: "defrost cold-room-1" });
await choose("/devices");
await page.locator("#devices a", { hasText: "cold-room-1" }).click();
await page.waitForSelector("#device .is-done");
await page.waitForSelector("#device dd >> text=defrost");

step("what waits for people, and a stranger");
await control("/reply", { from: "+995555123456", text: "open the gate" });
publish("pos/1/refund", { amount: 12.5 });
await control("/reply", { from: "+4915112345678", text: "hello?" });
await choose("/commands");
await page.locator(".tabs a", { hasText: "Open" }).click();
await page.waitForSelector("#requests >> text=1 of 2 want it");
await page.waitForSelector("#questions >> text=refund of 12.5 GEL");
await choose("/contacts");
await page.waitForSelector("#strangers >> text=+4915112345678");

step("the audit, checked from its first entry");
await go("/commands?show=trail&check=all");
await page.waitForSelector("#chain h2 >> text=The audit is whole");
await page.waitForSelector("#commands >> text=Published:");

step("why was it sent");
await choose("/timeline");
await page.locator(".bubble.out a", { hasText: "why?" }).first().click();
await page.waitForSelector(".story >> text=An event came");
await check(page, "message");

step("somebody writes to a person: at once in the open window, held outside it");
await go("/timeline?contact=nino");
await page.waitForSelector("#what-happens >> text=It goes out at once");
await check(page, "a conversation");
await page.fill("#words", "The fitter comes at nine.");
await picture(page, "writing");
await page.click(".write button");
await page.waitForSelector(".bubble.out >> text=The fitter comes at nine.");
await until("the message", async () => (await control("/messages", undefined, "GET")).some((one) => one.text === "The fitter comes at nine."));
await go("/timeline?contact=anna");
await page.waitForSelector("#what-happens >> text=it is held, and goes out when they write");
await check(page, "a conversation without a window");
await page.fill("#words", "Hello Anna");
await picture(page, "writing-held");
await page.click(".write button");
await page.waitForSelector(".bubble.out.is-held >> text=Hello Anna");

step("retry and cancel in the outbox");
await control("/faults", { code: 131026, count: 1 });
publish("pos/3/paper", "low");
await choose("/outbox");
await page.click("text=Did not go");
await page.waitForSelector("#outbox >> text=Till 3");
await check(page, "outbox");
await page.locator("#outbox button.retry").first().click();
await page.waitForURL(/outbox/);
await until("the message of the retry", async () => (await control("/messages", undefined, "GET")).some((one) => one.text?.includes("Till 3")));
await control("/faults", { code: 131026, count: 1 });
publish("pos/4/paper", "low");
await go("/outbox?state=ended");
await page.waitForSelector("#outbox >> text=Till 4");
await control("/faults", { reset_before_accept: true });
publish("pos/5/paper", "low");
await go("/outbox");
await page.waitForSelector("#outbox >> text=Till 5");
page.once("dialog", (dialog) => dialog.accept());
await page.locator("#outbox li", { hasText: "Till 5" }).locator("button.cancel").click();
await go("/outbox?state=ended");
await page.waitForSelector("#outbox li:has-text('Till 5') .is-cancelled");
await control("/faults", undefined, "DELETE");

step("try a rule");
await choose("/rules");
await page.fill("#topic", "site/bar/freezer/7/temperature");
await page.fill("#payload", '{"celsius": -3.04}');
await page.click("#try button");
await page.waitForSelector(".tried >> text=Freezer 7 in the bar is at -3.0 °C");
await check(page, "rules");

await changes({ page, context, errors, step, choose });

step("a rule is silent, and is not any more");
await choose("/alerts");
await page.selectOption("#rule", "till-paper");
await page.selectOption("#lasts", "8h");
await page.fill("#comment", "new rolls come tomorrow");
await page.click("#silences .stack button");
await page.waitForSelector("#silenced strong >> text=till-paper");
await check(page, "silences");
await picture(page, "silences", { fullPage: true });
await page.locator("#silenced button").focus();
await page.keyboard.press("Enter");
await page.waitForSelector("#silenced .empty");

step("an API token: shown once, used, taken back");
await choose("/setup");
await page.fill("[name=name]", "dashboard");
await page.click("#tokens button.main");
const token = await text("#token").textContent();
await check(page, "token");
const ask = () => fetch(`${BASE}/api/messages?limit=3`, { headers: { authorization: `Bearer ${token}` } });
const answer = await ask();
assert.equal(answer.status, 200);
assert.equal((await answer.json()).items.length, 3);
await choose("/setup");
assert(!(await page.content()).includes(token), "it is shown once");
page.once("dialog", (dialog) => dialog.accept());
await page.click("#tokens li button.cancel");
await page.waitForSelector("#tokens >> text=revoked");
assert.equal((await ask()).status, 401);

step("who is logged in: another browser is logged out");
const other = await fetch(`${BASE}/login`, {
  method: "POST", redirect: "manual", headers: { "user-agent": "A tablet" }, body: new URLSearchParams({ password: PASSWORD }),
});
assert.equal(other.status, 303);
await choose("/");
await choose("/setup");
await page.waitForSelector("#sessions li:has-text('this browser')");
page.once("dialog", (dialog) => dialog.accept());
await page.click("#sessions li:has-text('A tablet') button.cancel");
await page.waitForFunction(() => !document.querySelector("#sessions").textContent.includes("A tablet"));
await check(page, "sessions");

step("another language");
const german = page.locator(narrow ? ".foot.below button[value=de]" : ".side .foot button[value=de]");
await german.click();
await page.waitForSelector("html[lang=de]");
await page.waitForSelector("h1 >> text=Einrichtung");
await check(page, "setup in German");
await picture(page, "setup-german", { fullPage: true });
await page.locator(narrow ? ".foot.below button[value=en]" : ".side .foot button[value=en]").click();
await page.waitForSelector("html[lang=en]");

step("with the keyboard alone");
await go("/");
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
await page.keyboard.press("Enter");
assert.equal(await page.evaluate(() => document.activeElement.id), "main");

step("more for the pictures");
publish("site/kitchen/door/back", "open");
publish("site/bar/freezer/2/temperature", { celsius: -19 });
publish("site/cellar/freezer/1/temperature", { celsius: -9.25 });
await control("/reply", { from: "+995555654321", text: "on my way" });
await until("receipts", async () => (await control("/messages", undefined, "GET")).filter((one) => one.status === "read").length >= 4, 30);

step("log out");
await page.locator(narrow ? ".foot.below" : ".side .foot").locator("form[action='/logout'] button").click();
await page.waitForURL(`${BASE}/login`);
await check(page, "login");
await picture(page, "login");
await page.fill("#password", "guess");
await page.click("button.main");
await page.waitForSelector("[role=alert]");
expected(errors, "403");
await go("/outbox");
assert.equal(new URL(page.url()).pathname, "/login");
assert.deepEqual(errors, []);
await browser.close();
