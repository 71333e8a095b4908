// The owner changes the configuration without a shell: in a form, in the text, back again, beside another editor and beside the disk.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { BASE, CONFIG, check, expected, picture } from "./browser.mjs";

const read = () => readFileSync(CONFIG, "utf8");

export async function changes({ page, context, errors, step, choose }) {
  const press = async (name) => {
    await Promise.all([page.waitForEvent("load"), page.locator(`button[value="${name}"]`).first().click()]);
  };
  const text = (tab = page) => tab.locator("#text");
  const change = async (from, to, tab = page) => text(tab).fill((await text(tab).inputValue()).replace(from, to));
  const before = read();

  step("the configuration: a contact changes in a form");
  await choose("/configuration");
  assert.equal(await text().inputValue(), before);
  await check(page, "configuration");
  await picture(page, "configuration", { fullPage: true });
  await press("contact/giorgi");
  await page.fill("[name='field.phone']", "+995 555 99 88 77");
  await page.fill("[name='field.quiet_hours']", "22:00-07:00");
  await check(page, "form of a contact");
  await picture(page, "form-contact", { fullPage: true });
  await press("set");
  await page.waitForSelector("#difference .new >> text=+995 555 99 88 77");
  await page.waitForSelector("#difference .old >> text=+995 555 65 43 21");
  await press("rule/freezer-too-warm");
  await page.check("[name='field.notify.anna']");
  await page.selectOption("[name='field.severity']", "warning");
  await check(page, "form of a rule");
  await picture(page, "form-rule", { fullPage: true });
  await press("set");
  await page.waitForSelector('#difference .new >> text=notify = ["kitchen", "anna"]');
  await check(page, "difference");
  await picture(page, "difference", { fullPage: true });
  assert.equal(read(), before, "nothing is saved yet");

  step("a problem stands at its line, and cannot be saved");
  await change('notify = ["giorgi"]', 'notify = ["giorgo"]');
  await press("check");
  await page.waitForSelector("#problems >> text=did you mean `giorgi`?");
  const line = (await text().inputValue()).split("\n").indexOf('notify = ["giorgo"]') + 1;
  await page.waitForSelector(`#line-${line} .what`);
  await check(page, "problems");
  await picture(page, "configuration-problem", { fullPage: true });
  await page.click("#problems a[data-line]");
  assert.equal(await text().evaluate((one) => one.value.slice(one.selectionStart, one.selectionEnd)), 'notify = ["giorgo"]');
  assert.equal(await page.locator("button[value=save]").count(), 0);
  await change('notify = ["giorgo"]', 'notify = ["giorgi"]');

  step("the draft is tried, and replayed");
  await page.fill("#topic", "site/bar/freezer/9/temperature");
  await page.fill("#payload", '{"celsius": -3.04}');
  await press("try");
  await page.waitForSelector("#tried >> text=Freezer 9 in the bar is at -3.0 °C");
  await page.waitForSelector("#tried >> text=Anna Weber");
  await press("replay");
  await page.waitForSelector("#replayed >> text=/Anna Weber: told [1-9]/");
  await check(page, "replayed");
  await picture(page, "replayed", { fullPage: true });

  step("it is saved, and gone back from, with the keyboard alone");
  await page.focus("button[value=save]");
  await page.keyboard.press("Enter");
  await page.waitForURL(/saved=/);
  await page.waitForSelector("#state >> text=The gateway runs with this configuration");
  await page.waitForSelector("#state >> text=version 2");
  const saved = read();
  assert(saved.includes("+995 555 99 88 77") && saved.includes('quiet_hours = "22:00-07:00"'), saved);
  await page.waitForSelector("#history >> text=by the page");
  await check(page, "saved");
  await picture(page, "configuration-saved", { fullPage: true });
  await page.locator("#history a", { hasText: "Go back" }).last().focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#difference .old >> text=+995 555 99 88 77");
  await page.locator("button[value=save]").focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/saved=/);
  assert.equal(read(), before);

  step("two editors at once, and a change on the disk");
  const other = await context.newPage();
  await other.goto(`${BASE}/configuration`);
  await change("Anna Weber", "Anna W.", other);
  await change("Nino Beridze", "Nino B.");
  await press("check");
  await other.click("button[value=check]");
  await other.click("button[value=save]");
  await other.waitForURL(/saved=/);
  await other.close();
  await press("save");
  await page.waitForSelector("#stale");
  expected(errors, "412");
  await check(page, "stale");
  await picture(page, "stale", { fullPage: true });
  assert(read().includes("Anna W."), "what the other saved is there");
  let asked = 0;
  const leave = (dialog) => { asked += 1; return dialog.accept(); };
  page.on("dialog", leave);
  await page.click("#stale a.button");
  await page.waitForURL(`${BASE}/configuration`);
  assert.equal(asked, 1, "who leaves a draft is asked");
  assert((await text().inputValue()).includes("Anna W."));
  await change("Nino Beridze", "Nino B.");
  await press("check");
  writeFileSync(CONFIG, before);
  await press("save");
  await page.waitForSelector("#stale");
  expected(errors, "412");
  await page.waitForSelector("#difference .new >> text=Nino B.");
  assert.equal(read(), before);

  step("without scripts");
  const plain = await (await context.browser().newContext({ javaScriptEnabled: false, storageState: await context.storageState() })).newPage();
  await plain.goto(`${BASE}/configuration`);
  await text(plain).fill("[site\n");
  await plain.click("button[value=check]");
  await plain.waitForSelector("#problems >> text=line 1");
  await plain.context().close();
  await page.goto(`${BASE}/configuration`);
  page.off("dialog", leave);
}
