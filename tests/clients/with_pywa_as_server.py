"""pywa as a server, in FastAPI: it checks the signature of each webhook, and its handlers get what people do and what becomes of
messages."""

from threading import Thread

import fastapi
import uvicorn
from pywa import handlers, types

from simulator import GIORGI, NINO, NUMBER, SECRET, wait_for
from with_pywa import client

PNG = "iVBORw0KGgo="


def run(simulator):
    app, came = fastapi.FastAPI(), []
    wa = client(simulator, server=app, validate_updates=True)
    kinds = [handlers.MessageHandler, handlers.CallbackButtonHandler, handlers.CallbackSelectionHandler, handlers.MessageStatusHandler,
             handlers.GroupMessageStatusesHandler, handlers.FlowCompletionHandler, handlers.PhoneNumberChangeHandler,
             handlers.IdentityChangeHandler, handlers.EditedMessageHandler, handlers.DeletedMessageHandler,
             handlers.TemplateStatusUpdateHandler, handlers.TemplateCategoryUpdateHandler, handlers.TemplateQualityUpdateHandler]
    wa.add_handlers(*[kind(lambda _, update: came.append(update)) for kind in kinds])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=simulator.hooks, log_level="critical"))
    Thread(target=server.run, daemon=True).start()
    wait_for(lambda: server.started)
    assert simulator.control("handshake", {}) == {"status": 200, "verified": True}
    people(simulator, wa, came)
    received_media(simulator, came)
    statuses(simulator, wa, came)
    notices(simulator, came)
    forged = {"field": "messages", "value": {}, "phone_number_id": NUMBER, "forge": True}
    assert simulator.control("webhook", forged)["status"] != 200, "a wrong signature is refused"
    server.should_exit = True


def first(came, wanted):
    return wait_for(lambda: next((update for update in came if wanted(update)), None))


def people(simulator, wa, came):
    def comes(kind, **what):
        wamid = simulator.says(name="Nino", **what)
        update = first(came, lambda update: getattr(update, "id", None) == wamid)
        assert isinstance(update, kind), update
        assert (update.from_user.wa_id, update.metadata.phone_number_id) == (NINO, NUMBER)
        return update

    message = comes(types.Message, text="hello \N{SNOWFLAKE}")
    assert (message.text, message.from_user.name) == ("hello \N{SNOWFLAKE}", "Nino") and message.from_user.bsuid
    answered = message.reply_text("Which?", buttons=[types.Button("Yes", "yes:1")], quote=True)
    assert simulator.newest()["body"]["context"]["message_id"] == message.id
    tapped = comes(types.CallbackButton, tap="Yes")
    assert (tapped.data, tapped.title, tapped.reply_to_message.id) == ("yes:1", "Yes", answered.id)
    wa.send_message(NINO, "Tap", buttons=types.SectionList("Go", [types.Section("A", [types.SectionRow("Red", "color:red", "blood")])]))
    chosen = comes(types.CallbackSelection, tap="Red")
    assert (chosen.data, chosen.title, chosen.description) == ("color:red", "Red", "blood")
    flow = types.FlowButton(title="Fill", flow_id="1", flow_token="a-token", flow_action_type=types.FlowActionType.NAVIGATE,
                            flow_action_screen="FIRST")
    wa.send_message(NINO, "Fill in", buttons=flow)
    filled = comes(types.FlowCompletion, flow={"size": 3})
    assert (filled.token, filled.response["size"]) == ("a-token", 3)
    reaction = comes(types.Message, reaction="\N{THUMBS UP SIGN}", message_id=answered.id).reaction
    assert (reaction.message_id, reaction.emoji) == (answered.id, "\N{THUMBS UP SIGN}")
    assert not comes(types.Message, reaction="", message_id=answered.id).reaction.emoji
    assert comes(types.Message, text="later", quote=answered.id).reply_to_message.id == answered.id
    assert comes(types.Message, text="seen", forwarded=True).forwarded
    assert comes(types.Message, location={"latitude": 41.7, "longitude": 44.8, "name": "Shop"}).location.name == "Shop"
    contact = {"name": {"formatted_name": "Giorgi", "first_name": "Giorgi"}, "phones": [{"phone": "+" + GIORGI, "wa_id": GIORGI}]}
    assert comes(types.Message, contacts=[contact]).contacts[0].name.formatted_name == "Giorgi"
    assert comes(types.Message, unsupported="poll_creation").type == types.MessageType.UNSUPPORTED
    assert comes(types.EditedMessage, edit=message.id, text="hello again").message.text == "hello again"
    assert comes(types.DeletedMessage, delete=message.id)
    in_group = comes(types.Message, text="in a group", group_id="Y2FwaV9ncm91cA")
    assert in_group.raw["entry"][0]["changes"][0]["value"]["messages"][0]["group_id"] == "Y2FwaV9ncm91cA"


def received_media(simulator, came):
    for kind in ["image", "video", "audio", "document", "sticker"]:
        more = {} if kind in ("audio", "sticker") else {"caption": "see"}
        wamid = simulator.says(**{kind: PNG}, **more)
        message = first(came, lambda update: getattr(update, "id", None) == wamid)
        assert message.type.value == kind and (message.caption == "see" or not more), message
        assert getattr(message, kind).get_bytes()[1:4] == b"PNG"


def statuses(simulator, wa, came):
    def until(wamid, word):
        return first(came, lambda update: isinstance(update, types.MessageStatus) and (update.id, update.status.value) == (wamid, word))

    sent = wa.send_message(NINO, "told", tracker="row-7")
    for word in ["sent", "delivered", "read"]:
        status = until(sent.id, word)
        assert (status.tracker, status.from_user.wa_id) == ("row-7", NINO), status
    assert until(wa.send_voice(NINO, b"OggS", mime_type="audio/ogg").id, "played")
    simulator.control("webhooks", {"failed_contacts": True})  # pywa 4.5.0 reads no failed status without
    simulator.control("faults", {"count": 1, "statuses": {"fail_code": 131026}})
    assert until(wa.send_message(NINO, "in vain").id, "failed").error.code == 131026
    simulator.says(**{"from": "+" + GIORGI, "text": "me too", "group_id": "Y2FwaV9ncm91cA"})
    body = {"messaging_product": "whatsapp", "recipient_type": "group", "to": "Y2FwaV9ncm91cA", "type": "text", "text": {"body": "x"}}
    group = wa.api.send_raw_request("POST", f"/{NUMBER}/messages", json=body)["messages"][0]["id"]
    for participant in [NINO, GIORGI]:
        told = first(came, lambda update: isinstance(update, types.GroupMessageStatuses) and update[0].id == group
                     and update[0].status.value == "read" and update[0].from_user.wa_id == participant)
        assert told.group_id == "Y2FwaV9ncm91cA"


def notices(simulator, came):
    simulator.control("templates", {"name": "hello_world", "status": "PAUSED"})
    assert first(came, lambda update: isinstance(update, types.TemplateStatusUpdate)).new_status.value == "PAUSED"
    simulator.control("templates", {"name": "hello_world", "status": "APPROVED", "category": "MARKETING", "quality": "YELLOW"})
    assert first(came, lambda update: isinstance(update, types.TemplateCategoryUpdate)).template_name == "hello_world"
    assert first(came, lambda update: isinstance(update, types.TemplateQualityUpdate)).new_quality_score.value == "YELLOW"
    simulator.says(system={"type": "customer_identity_changed"})
    assert first(came, lambda update: isinstance(update, types.IdentityChange))
    simulator.says(system={"type": "user_changed_number", "wa_id": "995555000000"})
    moved = first(came, lambda update: isinstance(update, types.PhoneNumberChange))
    assert moved.new_wa_id == "995555000000", moved
