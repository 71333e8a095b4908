"""whatsapp-python: its README and wiki, synchronous and asynchronous, and its own FastAPI application behind the webhooks."""

import asyncio
import tempfile
from pathlib import Path
from threading import Thread

import aiohttp
import requests
import uvicorn
from whatsapp import AsyncWhatsApp, Message, WhatsApp

from simulator import NINO, NUMBER, PNG, TOKEN, VERIFY, wait_for

LINK = "https://example.com/a"
SETTINGS = dict(token=TOKEN, phone_number_id={"main": NUMBER}, logger=False, update_check=False, verify_token=VERIFY, debug=False,
                version="v21.0")


def run(simulator):
    lead_here(simulator)
    wa = WhatsApp(**SETTINGS)
    sends(simulator, wa)
    media(simulator, wa)
    asyncio.run(asynchronous(simulator))
    webhooks(simulator, wa)


def lead_here(simulator):
    """It knows Meta's address alone: its HTTP clients are led to the simulator."""
    send, ask = requests.Session.request, aiohttp.ClientSession._request
    requests.Session.request = lambda self, method, url, **more: send(self, method, simulator.redirect(url), **more)
    aiohttp.ClientSession._request = lambda self, method, url, **more: ask(self, method, simulator.redirect(url), **more)


def sends(simulator, wa):
    def sent(answer, kind, **expected):
        wamid, newest = answer["messages"][0]["id"], simulator.newest()
        assert (newest["id"], newest["type"], newest["wa_id"]) == (wamid, kind, NINO), newest
        for key, value in expected.items():
            assert newest["body"][kind][key] == value, newest["body"]

    message = wa.create_message(to=NINO, content="Hello world")
    sent(message.send(), "text", body="Hello world")
    for kind, send in [("image", wa.send_image), ("video", wa.send_video), ("document", wa.send_document)]:
        sent(send(LINK, NINO, caption="see"), kind, link=LINK, caption="see")
    sent(wa.send_audio(LINK, NINO), "audio", link=LINK)
    sent(wa.send_sticker(LINK, NINO), "sticker", link=LINK)
    sent(wa.send_location(lat="41.7", long="44.8", name="Shop", address="Tbilisi", recipient_id=NINO), "location", name="Shop")
    rows = [{"id": "row 1", "title": "Send Money", "description": ""}]
    button = {"header": "Header", "body": "Body", "footer": "Footer", "action": {"button": "Go", "sections": [{"title": "A", "rows": rows}]}}
    sent(wa.send_button(recipient_id=NINO, button=button), "interactive", type="list")
    reply = {"type": "reply", "reply": {"id": "b1", "title": "Button 1"}}
    button = {"type": "button", "body": {"text": "A test button"}, "action": {"buttons": [reply]}}
    sent(wa.send_reply_button(recipient_id=NINO, button=button), "interactive", type="button")
    sent(wa.send_template("hello_world", NINO, components=[], lang="en_US"), "template", name="hello_world")
    contact = {"name": {"formatted_name": "Nino Beridze", "first_name": "Nino"}, "phones": [{"phone": "+" + NINO}]}
    sent(wa.send_contacts([contact], NINO), "contacts")
    own = {"messaging_product": "whatsapp", "type": "text", "text": {"body": "own"}}
    sent(wa.send_custom_json(own, recipient_id=NINO), "text", body="own")


def media(simulator, wa):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        path.write_bytes(PNG)
        media_id = wa.upload_media(str(path))["id"]
        wa.send_image(media_id, NINO, link=False)
        assert simulator.newest()["body"]["image"]["id"] == media_id
        saved = wa.download_media(wa.query_media_url(media_id), "image/png", str(Path(folder) / "back"))
        assert Path(saved).read_bytes() == PNG
    assert wa.delete_media(media_id) == {"success": True}
    try:
        wa.query_media_url(media_id)
        raise SystemError("a deleted medium was found")
    except Exception as error:
        assert "does not exist" in str(error), error


async def asynchronous(simulator):
    wa = AsyncWhatsApp(**SETTINGS)
    for call in [wa.create_message(to=NINO, content="later").send(), wa.send_image(LINK, NINO),
                 wa.send_location(lat="1", long="2", name="A", address="B", recipient_id=NINO), wa.send_template("hello_world", NINO, components=[])]:
        answer = await (await call)
        assert answer["messages"][0]["id"] == simulator.newest()["id"], answer


def webhooks(simulator, wa):
    came = []

    @wa.on_message
    async def on_message(message: Message):
        came.append(message)

    server = uvicorn.Server(uvicorn.Config(wa.app, host="127.0.0.1", port=simulator.hooks, log_level="critical"))
    Thread(target=server.run, daemon=True).start()
    wait_for(lambda: server.started)
    assert simulator.control("handshake", {}) == {"status": 200, "verified": True}

    def comes(**what):
        wamid = simulator.says(name="Nino", **what)
        return wait_for(lambda: next((message for message in came if message.id == wamid), None))

    message = comes(text="hello")
    assert (message.content, message.name, message.type) == ("hello", "Nino", "text")
    answer = message.reply("Hello back")
    newest = simulator.newest()
    assert newest["id"] == answer["messages"][0]["id"] and newest["wa_id"] == NINO, newest
    assert newest["body"]["context"]["message_id"] == message.id
    assert message.mark_as_read() == {"success": True}
    assert comes(tap="b1").interactive["button_reply"]["title"] == "Button 1"
    assert comes(location={"latitude": 41.7, "longitude": 44.8}).location["longitude"] == 44.8
    image = comes(image="iVBORw0KGgo=", caption="see").image
    assert requests.get(wa.query_media_url(image["id"]), headers=wa.headers, timeout=10).content[1:4] == b"PNG"
    server.should_exit = True
