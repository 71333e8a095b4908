// @great-detail/whatsapp: the examples of its README, and the rest of its client.
import assert from "node:assert/strict";
import Client from "@great-detail/whatsapp";
import { ACCOUNT, API, NINO, NUMBER, PNG, SECRET, TOKEN, VERIFY, Inbox, control, newest, says } from "./simulator.mjs";

const authorised = { headers: { Authorization: `Bearer ${TOKEN}` } };
const sdk = new Client({ baseUrl: API, request: authorised });
const phoneNumberID = NUMBER, LINK = "https://example.com/a";

const send = async (type, object, more = {}) => {
  const answer = await sdk.message.createMessage({ phoneNumberID, to: NINO, type, [type]: object, ...more }).json();
  const shown = await newest();
  assert.deepEqual([answer.messages[0].id, type, NINO], [shown.id, shown.type, shown.wa_id]);
  return shown;
};

const first = await send("text", { body: "Hello" });
assert.equal(first.text, "Hello");
await send("text", { body: "A reply" }, { context: { message_id: first.id } });
for (const kind of ["image", "video", "document", "audio", "sticker"]) await send(kind, { link: LINK });
await send("location", { latitude: 41.7, longitude: 44.8, name: "Shop", address: "Tbilisi" });
await send("contacts", [{ name: { formatted_name: "Nino Beridze", first_name: "Nino" }, phones: [{ phone: "+" + NINO, type: "CELL" }] }]);
await send("reaction", { message_id: first.id, emoji: "👍" });
const reply = (id, title) => ({ type: "reply", reply: { id, title } });
await send("interactive", { type: "button", body: { text: "Hello" }, action: { buttons: [reply("button1", "Button 1"), reply("button2", "Button 2")] } });
await send("interactive", { type: "cta_url", body: { text: "Hello" }, action: { name: "cta_url", parameters: { display_text: "Open Link", url: "https://example.com" } } });
const rows = (at, ...ids) => ({ title: `Section ${at}`, rows: ids.map(id => ({ id, title: id, description: `This is ${id}` })) });
const list = { button: "View Options", sections: [rows(1, "option1", "option2"), rows(2, "option3", "option4")] };
assert.equal((await send("interactive", { type: "list", body: { text: "Hello" }, action: list })).buttons.length, 4);
await control("templates", { name: "test_1", language: "en_US", components: [{ type: "BODY", text: "For {{1}} you pay {{2}} on {{3}} and no more than that." }] });
const filled = await send("template", { name: "test_1", language: { code: "en_US" }, components: [{ type: "body", parameters: [
  { type: "text", text: "bread" }, { type: "currency", currency: { fallback_value: "£100", code: "GBP", amount_1000: 100_000 } },
  { type: "date_time", date_time: { fallback_value: "2026-01-01" } }] }] });
assert.equal(filled.shown, "For bread you pay £100 on 2026-01-01 and no more than that.");
const written = await says({ text: "hi" });
const status = { phoneNumberID, message_id: written, status: "read", typing_indicator: { type: "text" } };
assert.deepEqual(await sdk.message.createStatus(status).json(), { success: true });

const file = new Blob([PNG], { type: "image/png" });
const { id: mediaID } = await sdk.media.upload({ phoneNumberID, mimeType: "image/png", file, filename: "a.png" }).json();
assert.equal((await send("image", { id: mediaID })).body.image.id, mediaID);
const { url } = await sdk.media.getURL({ mediaID, phoneNumberID }).json();
const media = await sdk.media.download({ mediaURL: url, request: authorised });
assert.deepEqual(Buffer.from(await media.arrayBuffer()), PNG);
assert.deepEqual(await sdk.media.delete({ mediaID }).json(), { success: true });
assert.equal((await refused(sdk.media.getURL({ mediaID }))).code, 100);

const about = { about: "We bake", email: "a@example.com", vertical: "RESTAURANT", websites: ["https://example.com"] };
assert.deepEqual(await sdk.businessProfile.updateBusinessProfile({ phoneNumberID, ...about }).json(), { success: true });
const profile = await sdk.businessProfile.getBusinessProfile({ phoneNumberID, fields: ["about", "email", "vertical", "websites"] }).json();
assert.deepEqual(profile.data[0], about);
const automation = { enable_welcome_message: false, prompts: ["What is open?"], commands: [{ command_name: "order", command_description: "Order" }] };
assert.deepEqual(await sdk.conversationalAutomation.setConversationalAutomation({ phoneNumberID, ...automation }).json(), { success: true });

const fields = ["id", "display_phone_number", ["throughput", ["level"]], "name_status"];
const number = await sdk.phoneNumbers.getPhoneNumber({ phoneNumberID, fields }).json();
assert.deepEqual([number.id, number.throughput], [NUMBER, { level: "STANDARD" }]);
const numbers = await sdk.phoneNumbers.listPhoneNumbers({ businessAccountID: ACCOUNT, fields: ["id", "last_onboarded_time", "search_visibility"], sort: "creation_time.asc" }).json();
assert.equal(numbers.data[0].search_visibility, "VISIBLE");
assert.deepEqual(await sdk.phoneNumbers.updatePhoneNumber({ phoneNumberID, new_display_name: "Corner Bakery" }).json(), { success: true });
assert.equal((await sdk.phoneNumbers.getPhoneNumber({ phoneNumberID, fields: ["new_display_name"] }).json()).new_display_name, "Corner Bakery");
assert.equal((await sdk.whatsappBusinessAccount.get(ACCOUNT, { fields: ["id", "name", "currency"] }).json()).currency, "USD");

const body = text => ({ type: "BODY", text, example: { body_text: [["x"]] } });
const draft = { name: "alarm_v1", language: "en", category: "UTILITY", components: [body("Alarm: {{1}}\nYou asked to be told.")] };
const created = await sdk.template.create(ACCOUNT, draft).json();
assert.equal(created.status, "PENDING");
await control("templates", { name: "alarm_v1", status: "APPROVED" });
const wanted = { status: ["APPROVED", "PAUSED"], category: ["UTILITY"], name_or_content: "asked to be told", fields: ["name", "status", "previous_category"], limit: 10 };
assert.deepEqual((await sdk.template.list(ACCOUNT, wanted).json()).data, [{ id: created.id, name: "alarm_v1", status: "APPROVED" }]);
assert.equal((await sdk.template.get(created.id, { fields: ["name", "message_send_ttl_seconds"] }).json()).name, "alarm_v1");
const changed = await sdk.template.update(created.id, { components: [body("Alarm: {{1}}\nSomebody should look at once.")] }).json();
assert.equal(changed.success, true);
assert.deepEqual(await sdk.template.delete(ACCOUNT, { name: "alarm_v1", hsm_id: created.id }).json(), { success: true });
assert.equal((await refused(sdk.template.get(created.id, {}))).code, 100);
assert.match((await refused(sdk.template.listLibrary({ search: "order" }))).message, /simulator does not play/);

// Webhooks: register, parse, verify.
const seen = [];
const inbox = new Inbox(async (query, raw, signature, request) => {
  if (query) {
    const asked = await sdk.webhook.register({ method: request.method, query: Object.fromEntries(query), headers: request.headers });
    assert.equal(asked.verifyToken, VERIFY);
    return asked.accept();
  }
  const event = await sdk.webhook.eventNotification({ method: request.method, query: {}, body: raw, headers: request.headers });
  await event.verifySignature(SECRET);
  await assert.rejects(event.verifySignature("another secret"));
  seen.push(event.eventNotification.entry[0].changes[0].value);
});
await inbox.open();
assert.equal(await sdk.subscribedApps.createSubscription({ businessAccountID: ACCOUNT }).json().then(answer => answer.success), true);
assert.ok((await sdk.subscribedApps.listSubscriptions({ businessAccountID: ACCOUNT }).json()).data[0].whatsapp_business_api_data.id);
assert.deepEqual(await control("handshake", {}), { status: 200, verified: true });
const tapped = await says({ tap: "button1" });
const { id } = await send("text", { body: "told" });
await inbox.until(() => seen.some(value => value.messages?.[0].id === tapped) && seen.some(value => value.statuses?.[0].id === id && value.statuses[0].status === "read"));
assert.equal(seen.find(value => value.messages).messages[0].interactive.button_reply.title, "Button 1");
inbox.close();

async function refused(call) {
  try {
    await call;
  } catch (error) {
    return (error.data ?? await error.response.json()).error;
  }
  throw new Error("was taken");
}
