"""heyoo: every example of its README, and its webhook helpers on what the simulator sends."""

import tempfile
from pathlib import Path

import requests
from heyoo import WhatsApp

from simulator import NINO, NUMBER, PNG, TOKEN, Inbox

LINK = "https://example.com/a"


def run(simulator):
    wa = WhatsApp(TOKEN, phone_number_id=NUMBER)
    wa.base_url, wa.v15_base_url = f"{simulator.url}/v14.0", f"{simulator.url}/v15.0"
    wa.url = f"{wa.base_url}/{NUMBER}/messages"
    inbox = Inbox(simulator.hooks)
    sends(simulator, wa)
    media(simulator, wa)
    webhooks(simulator, wa, inbox)


def sends(simulator, wa):
    def sent(answer, kind, **expected):
        wamid, newest = answer["messages"][0]["id"], simulator.newest()
        assert (newest["id"], newest["type"], newest["wa_id"]) == (wamid, kind, NINO), newest
        for key, value in expected.items():
            assert newest["body"][kind][key] == value, newest["body"]
        return wamid

    first = sent(wa.send_message("Your message", NINO), "text", body="Your message")
    sent(wa.send_reaction("\N{THUMBS UP SIGN}", first, NINO), "reaction", message_id=first)
    sent(wa.reply_to_message(first, NINO, "A reply"), "text", body="A reply")
    assert simulator.newest()["body"]["context"]["message_id"] == first
    sent(wa.send_image(image=LINK, recipient_id=NINO, caption="A picture"), "image", link=LINK, caption="A picture")
    sent(wa.send_video(video=LINK, recipient_id=NINO, caption="A film"), "video", link=LINK)
    sent(wa.send_audio(audio=LINK, recipient_id=NINO), "audio", link=LINK)
    sent(wa.send_document(document=LINK, recipient_id=NINO, caption="A paper"), "document", link=LINK)
    sent(wa.send_sticker(LINK, NINO), "sticker", link=LINK)
    place = dict(name="Singapore", address="Singapore")
    sent(wa.send_location(lat=1.29, long=103.85, recipient_id=NINO, **place), "location", latitude=1.29, **place)
    rows = [{"id": "row 1", "title": "Send Money", "description": ""}, {"id": "row 2", "title": "Withdraw", "description": ""}]
    action = {"button": "Button Testing", "sections": [{"title": "iBank", "rows": rows}]}
    button = {"header": "Header Testing", "body": "Body Testing", "footer": "Footer Testing", "action": action}
    sent(wa.send_button(recipient_id=NINO, button=button), "interactive", type="list")
    replies = [{"type": "reply", "reply": {"id": "b1", "title": "Button 1"}}, {"type": "reply", "reply": {"id": "b2", "title": "Button 2"}}]
    button = {"type": "button", "body": {"text": "A test button"}, "action": {"buttons": replies}}
    sent(wa.send_reply_button(recipient_id=NINO, button=button), "interactive", type="button")
    assert [one["title"] for one in simulator.newest()["buttons"]] == ["Button 1", "Button 2"]
    sent(wa.send_template("hello_world", NINO, components=[], lang="en_US"), "template", name="hello_world")
    name = {"formatted_name": "Nino Beridze", "first_name": "Nino"}
    contact = {"name": name, "phones": [{"phone": "+" + NINO, "type": "CELL"}]}
    sent(wa.send_contacts([contact], NINO), "contacts")
    own = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": NINO, "type": "text", "text": {"body": "own"}}
    sent(wa.send_custom_json(own), "text", body="own")


def media(simulator, wa):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        path.write_bytes(PNG)
        media_id = wa.upload_media(media=str(path))["id"]
        wa.send_image(image=media_id, recipient_id=NINO, link=False)
        assert simulator.newest()["body"]["image"]["id"] == media_id
        url = wa.query_media_url(media_id)
        saved = wa.download_media(url, "image/png", str(Path(folder) / "back"))
        assert Path(saved).read_bytes() == PNG
    assert wa.delete_media(media_id) == {"success": True}
    assert wa.query_media_url(media_id) is None


def webhooks(simulator, wa, inbox):
    def came(**what):
        return inbox.message(simulator.says(name="Nino", **what))

    data = came(text="hello")
    assert wa.changed_field(data) == "messages" and wa.is_message(data)
    assert (wa.get_mobile(data), wa.get_name(data)) == (NINO, "Nino")
    assert (wa.get_message_type(data), wa.get_message(data)) == ("text", "hello")
    assert wa.get_message_timestamp(data).isdigit()
    wamid = wa.get_message_id(data)
    assert wa.mark_as_read(wamid) == {"success": True}
    assert next(one for one in simulator.control("written") if one["id"] == wamid)["read"]
    answered = wa.send_message("Hi Nino", wa.get_mobile(data))
    assert answered["contacts"][0]["wa_id"] == NINO, "what came as `from` is answered as it is"
    assert wa.get_interactive_response(came(tap="b1"))["button_reply"]["title"] == "Button 1"
    assert wa.get_interactive_response(came(tap="row 2"))["list_reply"]["id"] == "row 2"
    assert wa.get_location(came(location={"latitude": 41.7, "longitude": 44.8}))["latitude"] == 41.7
    encoded = "iVBORw0KGgo="
    for kind, get in [("image", wa.get_image), ("video", wa.get_video), ("audio", wa.get_audio), ("document", wa.get_document)]:
        received = get(came(**{kind: encoded}))
        url = wa.query_media_url(received["id"])
        assert requests.get(url, headers=wa.headers, timeout=10).content == bytes.fromhex("89504e470d0a1a0a"), kind
    wamid = answered["messages"][0]["id"]
    assert wa.get_delivery(inbox.status(wamid, "delivered")) == "delivered"
