// whatsapp-api-js: each kind of message that it builds, media, QR codes, blocking, and its handlers for webhooks.
import assert from "node:assert/strict";
import { WhatsAppAPI } from "whatsapp-api-js";
import * as m from "whatsapp-api-js/messages";
import { API, NINO, NUMBER, PNG, SECRET, TOKEN, VERIFY, Inbox, control, newest, says } from "./simulator.mjs";

// It knows Meta's address alone: its fetch is led to the simulator.
const fetchHere = (url, options) => fetch(String(url).replace("https://graph.facebook.com", API), options);
const whatsapp = new WhatsAppAPI({ token: TOKEN, appSecret: SECRET, webhookVerifyToken: VERIFY, v: "v25.0", ponyfill: { fetch: fetchHere } });
const LINK = "https://example.com/a";

const send = async (message, kind, context, data) => {
  const answer = await whatsapp.sendMessage(NUMBER, NINO, message, context, data);
  const shown = await newest();
  assert.equal(answer.messages?.[0].id, shown.id, JSON.stringify(answer));
  assert.deepEqual([shown.type, shown.wa_id], [kind, NINO]);
  return shown;
};

const first = await send(new m.Text("Hello", true), "text", undefined, "row-1");
assert.deepEqual([first.text, first.biz_opaque_callback_data], ["Hello", "row-1"]);
assert.equal((await send(new m.Text("A reply"), "text", first.id)).body.context.message_id, first.id);
for (const [kind, message] of [["image", new m.Image(LINK, false, "see")], ["video", new m.Video(LINK, false, "see")],
  ["document", new m.Document(LINK, false, "see", "a.pdf")], ["audio", new m.Audio(LINK)], ["sticker", new m.Sticker(LINK)]])
  assert.equal((await send(message, kind)).body[kind].link, LINK);
assert.equal((await send(new m.Location(44.8, 41.7, "Shop", "Tbilisi"), "location")).body.location.latitude, 41.7);
await send(new m.Contacts([new m.Name("Nino Beridze", "Nino"), new m.Phone("+" + NINO, "CELL", NINO), new m.Email("a@example.com", "WORK")]), "contacts");
assert.equal((await send(new m.Reaction(first.id, "👍"), "reaction")).body.reaction.emoji, "👍");
await send(new m.Reaction(first.id), "reaction");
const body = new m.Body("Which?"), footer = new m.Footer("by a library");
const buttons = new m.ActionButtons(new m.Button("yes:1", "Yes"), new m.Button("no:1", "No"));
assert.deepEqual((await send(new m.Interactive(buttons, body, new m.Header("Look"), footer), "interactive")).buttons.map(b => b.id), ["yes:1", "no:1"]);
const rows = new m.ActionList("Go", new m.ListSection("A", new m.Row("red", "Red", "blood")), new m.ListSection("B", new m.Row("blue", "Blue")));
assert.deepEqual((await send(new m.Interactive(rows, body), "interactive")).buttons.map(b => b.title), ["Red", "Blue"]);
for (const action of [new m.ActionCTA("Open", LINK), new m.ActionLocation(), new m.ActionContactRequest(), new m.ActionNavigateFlow("token", "1", "Fill", "FIRST")])
  await send(new m.Interactive(action, body), "interactive");
await send(new m.Template("hello_world", "en_US"), "template");
await control("templates", { name: "alarm", language: "en", components: [{ type: "BODY", text: "Alarm: {{1}}\nYou asked to be told." },
  { type: "BUTTONS", buttons: [{ type: "QUICK_REPLY", text: "Taken" }] }] });
const alarm = new m.Template("alarm", new m.Language("en"), new m.BodyComponent(new m.BodyParameter("too warm")), new m.PayloadComponent("take:1"));
const filled = await send(alarm, "template");
assert.match(filled.shown, /^Alarm: too warm/);
assert.equal(filled.buttons[0].id, "take:1");
const many = await Promise.all(whatsapp.broadcastMessage(NUMBER, [{ phone: NINO }, { phone: "995555654321" }], new m.Text("To all"), 2, 10));
assert.deepEqual(many.map(answer => answer.contacts[0].wa_id), [NINO, "995555654321"]);

const form = new FormData();
form.set("file", new Blob([PNG], { type: "image/png" }), "a.png");
const { id } = await whatsapp.uploadMedia(NUMBER, form);
assert.equal((await send(new m.Image(id, true), "image")).body.image.id, id);
const medium = await whatsapp.retrieveMedia(id, NUMBER);
assert.equal(medium.mime_type, "image/png");
assert.deepEqual(Buffer.from(await (await whatsapp.fetchMedia(medium.url)).arrayBuffer()), PNG);
assert.deepEqual(await whatsapp.deleteMedia(id), { success: true });
assert.equal((await whatsapp.retrieveMedia(id)).error.code, 100);

const code = await whatsapp.createQR(NUMBER, "I want bread", "svg");
assert.match(code.qr_image_url, /\.svg$/);
assert.equal((await whatsapp.updateQR(NUMBER, code.code, "I want cake")).prefilled_message, "I want cake");
assert.equal((await whatsapp.retrieveQR(NUMBER, code.code)).data[0].prefilled_message, "I want cake");
assert.equal((await whatsapp.retrieveQR(NUMBER)).data.length, 1);
assert.deepEqual(await whatsapp.deleteQR(NUMBER, code.code), { success: true });

assert.equal((await whatsapp.blockUser(NUMBER, NINO)).block_users.added_users[0].wa_id, NINO);
assert.equal((await whatsapp.sendMessage(NUMBER, NINO, new m.Text("x"))).error.code, 130403);
assert.equal((await whatsapp.unblockUser(NUMBER, NINO)).block_users.removed_users[0].wa_id, NINO);

// What it documents and the simulator does not play says so.
const product = new m.Interactive(new m.ActionProduct(new m.CatalogProduct("1", "2")), body);
for (const refused of [await whatsapp.initiateCall(NUMBER, NINO, "sdp"), await whatsapp.sendMessage(NUMBER, NINO, product)])
  assert.match(refused.error.message + refused.error.error_data.details, /simulator does not/);

// Webhooks: the handshake, signatures, its handlers.
const seen = [];
whatsapp.on.message = ({ message, name, from }) => void seen.push([message.type, name, from, message]);
whatsapp.on.status = ({ status, id }) => void seen.push([status, id]);
const inbox = new Inbox(async (query, raw, signature) => {
  if (query) return whatsapp.get(Object.fromEntries(query));
  assert.ok(await whatsapp.verifyRequestSignature(raw, signature), "a signature over the bytes");
  await whatsapp.post(JSON.parse(raw), raw, signature);
});
await inbox.open();
assert.deepEqual(await control("handshake", {}), { status: 200, verified: true });
for (const what of [{ text: "hello ❄ a/b" }, { tap: "take:1" }, { image: PNG.toString("base64") }, { reaction: "👍", message_id: first.id }])
  await says({ name: "Nino", ...what });
const told = (await whatsapp.sendMessage(NUMBER, NINO, new m.Text("told"))).messages[0].id;
await inbox.until(() => seen.filter(one => one[1] === "Nino").length === 4 && seen.some(one => one[0] === "read" && one[1] === told));
assert.equal(seen.find(one => one[0] === "text")[3].text.body, "hello ❄ a/b");
assert.equal(seen.find(one => one[0] === "button")[3].button.payload, "take:1");
assert.ok(seen.every(one => one[1] !== "Nino" || one[2] === NINO));
const written = (await control("written")).find(one => one.type === "text");
assert.deepEqual(await whatsapp.markAsRead(NUMBER, written.id, "text"), { success: true });
assert.ok((await control("written")).find(one => one.id === written.id).typing);
inbox.close();
