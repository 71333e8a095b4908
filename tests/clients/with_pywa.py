"""pywa as a client: what its documentation shows of messages, media, templates, profile, numbers, QR codes, blocking."""

import datetime
import pathlib
import tempfile

import httpx
from pywa import WhatsApp, errors, types
from pywa.types import templates as t

from simulator import ACCOUNT, GIORGI, NINO, NUMBER, PNG, SECRET, TOKEN, VERIFY, Inbox

LINK = "https://example.com/a.jpg"


def client(simulator, **more):
    """It knows Meta's address alone: its HTTP client is led to the simulator."""
    base = simulator.url

    class Here(httpx.HTTPTransport):
        def handle_request(self, request):
            if request.url.host.endswith("facebook.com"):
                here = httpx.URL(base)
                request.url = request.url.copy_with(scheme=here.scheme, host=here.host, port=here.port)
                request.headers["host"] = f"{here.host}:{here.port}"
            return super().handle_request(request)

    return WhatsApp(phone_id=NUMBER, waba_id=ACCOUNT, token=TOKEN, app_secret=SECRET, verify_token=VERIFY, app_id=900000000000701,
                    session=httpx.Client(transport=Here()), **more)


def run(simulator):
    wa = client(simulator)
    messages(simulator, wa)
    media(simulator, wa)
    templates(simulator, wa)
    business(simulator, wa)
    people(simulator, wa)
    not_played(wa)


def messages(simulator, wa):
    def sent(message, kind, **expected):
        newest = simulator.newest()
        assert (newest["id"], newest["type"], newest["wa_id"]) == (message.id, kind, NINO), newest
        for key, value in expected.items():
            assert newest["body"][kind][key] == value, newest["body"]
        return message.id

    first = sent(wa.send_message(NINO, "Hello world!", tracker="row-1"), "text", body="Hello world!")
    assert simulator.newest()["biz_opaque_callback_data"] == "row-1"
    sent(wa.send_message(NINO, "See https://pywa.readthedocs.io", preview_url=True, reply_to_message_id=first), "text", preview_url=True)
    assert simulator.newest()["body"]["context"]["message_id"] == first
    buttons = [types.Button("Download", "dl:1"), types.Button("Comments", "cm:1"), types.Button("Info", "in:1")]
    sent(wa.send_message(NINO, "Which?", header="Films", footer="by PyWa", buttons=buttons), "interactive", type="button")
    assert [one["id"] for one in simulator.newest()["buttons"]] == ["dl:1", "cm:1", "in:1"]
    sent(wa.send_image(NINO, LINK, caption="A picture", footer="by PyWa", buttons=buttons[:1]), "interactive", type="button")
    colours = [types.SectionRow("Red", "color:red", "The color of blood"), types.SectionRow("Green", "color:green")]
    rows = types.SectionList("Colors", [types.Section("Popular Colors", colours), types.Section("Other", [types.SectionRow("Blue", "color:blue")])])
    sent(wa.send_message(NINO, "Tap:", header="Your color", buttons=rows), "interactive", type="list")
    sent(wa.send_message(NINO, "Look", buttons=types.URLButton("Open", "https://example.com")), "interactive", type="cta_url")
    flow = types.FlowButton(title="Sign up", flow_id="1", flow_token="token", flow_action_type=types.FlowActionType.NAVIGATE,
                            flow_action_screen="SIGN_UP")
    sent(wa.send_message(NINO, "Fill in", buttons=flow), "interactive", type="flow")
    sent(wa.send_image(NINO, LINK, caption="see"), "image", link=LINK, caption="see")
    sent(wa.send_video(NINO, LINK, caption="see"), "video", link=LINK, caption="see")
    sent(wa.send_document(NINO, LINK, filename="a.pdf", caption="see"), "document", link=LINK, filename="a.pdf", caption="see")
    sent(wa.send_audio(NINO, LINK), "audio", link=LINK)
    sent(wa.send_sticker(NINO, LINK), "sticker", link=LINK)
    sent(wa.send_reaction(NINO, "\N{THUMBS UP SIGN}", first), "reaction", message_id=first)
    sent(wa.remove_reaction(NINO, first), "reaction", emoji="")
    sent(wa.send_location(NINO, latitude=37.4847, longitude=-122.1473, name="Shop", address="1 Way"), "location", name="Shop")
    sent(wa.request_location(NINO, "Where are you?"), "interactive", type="location_request_message")
    sent(wa.request_contact_info(NINO, "Your number?"), "interactive", type="request_contact_info")
    contact = types.Contact(name=types.Contact.Name(formatted_name="Nino Beridze", first_name="Nino"),
                            phones=[types.Contact.Phone(phone="+" + NINO, type="CELL", wa_id=NINO)],
                            emails=[types.Contact.Email(email="a@example.com", type="WORK")])
    sent(wa.send_contact(NINO, contact), "contacts")
    user_id = simulator.newest()["user_id"]
    assert wa.send_message(user_id, "by user id").id == simulator.newest()["id"] and simulator.newest()["user_id"] == user_id
    group = wa.send_message("Y2FwaV9ncm91cDoxNzA1NTU1MDEzOToxMjAzNjM0MDQ2OTQyMzM4MjAZD", "to a group")
    assert simulator.newest()["id"] == group.id and simulator.newest()["body"]["recipient_type"] == "group"
    written = simulator.says(text="hi")
    assert wa.mark_message_as_read(written).success and wa.indicate_typing(written).success
    assert next((one["read"], one["typing"]) for one in simulator.control("written") if one["id"] == written) == (True, True)


def media(simulator, wa):
    uploaded = wa.upload_media(media=PNG, mime_type="image/png", filename="a.png")
    sent = wa.send_image(NINO, uploaded, caption="by id")
    assert simulator.newest()["id"] == sent.id and simulator.newest()["body"]["image"]["id"] == uploaded.id
    wa.send_document(NINO, b"%PDF-1.4", filename="animal.pdf", mime_type="application/pdf")  # uploads by itself
    assert simulator.newest()["body"]["document"]["filename"] == "animal.pdf"
    wa.send_voice(NINO, b"OggS", mime_type="audio/ogg")
    assert simulator.newest()["body"]["audio"]["voice"] is True
    url = wa.get_media_url(uploaded.id)
    assert (url.mime_type, url.file_size) == ("image/png", len(PNG))
    assert wa.get_media_bytes(url.url) == PNG
    with tempfile.TemporaryDirectory() as folder:
        assert pathlib.Path(wa.download_media(url=url.url, path=folder)).read_bytes() == PNG
    assert wa.delete_media(uploaded.id).success
    assert refused(lambda: wa.get_media_url(uploaded.id)).code == 100


def templates(simulator, wa):
    body = t.BodyText("Hi {{name}}, your order {{order_id}} is confirmed and will be delivered soon.", name="John", order_id=12345)
    buttons = t.Buttons(buttons=[t.QuickReplyButton(text="Contact Support"),
                         t.URLButton(text="Track Order", url="https://example.com/track?order={{1}}", example="12345")])
    order = t.Template(name="order_confirmation", language=t.TemplateLanguage.ENGLISH_US, category=t.TemplateCategory.UTILITY,
                       parameter_format=t.ParamFormat.NAMED,
                       components=[t.HeaderText(text="Order"), body, buttons, t.FooterText(text="Powered by Pywa")])
    created = wa.create_template(order)
    assert created.status == t.TemplateStatus.PENDING, created
    ends = t.Template(name="ends", language=t.TemplateLanguage.ENGLISH_US, category=t.TemplateCategory.UTILITY,
                      components=[t.BodyText("Alarm: {{1}}", "x")])
    assert refused(lambda: wa.create_template(ends)).subcode == 2388299
    simulator.control("templates", {"name": "order_confirmation", "status": "APPROVED"})
    shown = wa.get_template(created.id)
    assert (shown.name, shown.status, shown.parameter_format) == (order.name, t.TemplateStatus.APPROVED, t.ParamFormat.NAMED)
    sent = wa.send_template(NINO, template=order, params=[
        body.params(name="Nino", order_id=7), buttons.buttons[0].params(callback_data="help", index=0),
        buttons.buttons[1].params(url_variable="7", index=1)])
    assert simulator.newest()["id"] == sent.id
    assert simulator.newest()["shown"].startswith("Hi Nino, your order 7 is"), simulator.newest()
    assert {one["id"] for one in simulator.newest()["buttons"]} == {"help"}
    listed = wa.get_templates(statuses=[t.TemplateStatus.APPROVED, t.TemplateStatus.PAUSED], name="order")
    assert [one.name for one in listed] == ["order_confirmation"] and listed.message_template_count == 2
    pages = wa.get_templates(pagination=types.Pagination(limit=1))
    after = wa.get_templates(pagination=types.Pagination(limit=1, after=pages.after))
    assert pages.has_next and [one.name for one in after] == ["order_confirmation"] and after.has_previous
    changed = wa.update_template(created.id, new_components=[t.BodyText("Hi {{name}}, it is all done and you can come.", name="John")])
    assert changed.success and wa.get_template(created.id).components[0].text.endswith("you can come.")
    assert wa.delete_template("order_confirmation", template_id=created.id).success
    assert refused(lambda: wa.get_template(created.id)).code == 100


def business(simulator, wa):
    account = wa.get_business_account()
    assert (account.id, account.name, account.currency) == (ACCOUNT, "Simulated Shop", "USD")
    number = wa.get_business_phone_number()
    assert (number.id, number.status, number.throughput["level"]) == (NUMBER, "CONNECTED", "STANDARD")
    assert [one.id for one in wa.get_business_phone_numbers()] == [NUMBER]
    profile = dict(about="We bake", address="1 Way", description="A bakery", email="a@example.com", websites=["https://example.com"])
    assert wa.update_business_profile(industry=types.Industry.RESTAURANT, **profile).success
    shown = wa.get_business_profile()
    assert (shown.about, shown.email, tuple(shown.websites), shown.industry) == ("We bake", "a@example.com", ("https://example.com",),
                                                                                types.Industry.RESTAURANT)
    assert wa.update_commerce_settings(is_catalog_visible=True, is_cart_enabled=False).success
    settings = wa.get_commerce_settings()
    assert (settings.catalog_id, settings.is_catalog_visible, settings.is_cart_enabled) == (NUMBER, True, False)
    commands = [types.Command(name="order", description="Order something")]
    assert wa.update_conversational_automation(ice_breakers=["What is open?"], commands=commands).success
    automation = wa.get_business_phone_number().conversational_automation
    assert [one.name for one in automation.commands] == ["order"], automation
    assert wa.update_display_name(new_display_name="Corner Bakery").success
    assert wa.register_phone_number(pin="123456").success
    code = wa.create_qr_code("I want bread", image_type="SVG")
    assert code.qr_image_url.endswith(".svg") and code.deep_link_url.endswith(code.code)
    assert wa.get_qr_code(code.code).prefilled_message == "I want bread"
    assert wa.update_qr_code(code.code, "I want cake").prefilled_message == "I want cake"
    assert [one.prefilled_message for one in wa.get_qr_codes()] == ["I want cake"]
    assert wa.delete_qr_code(code.code).success and wa.get_qr_code(code.code) is None
    inbox = Inbox(simulator.hooks)
    there = f"http://127.0.0.1:{simulator.hooks}/other"
    assert wa.override_phone_callback_url(there, VERIFY).success
    assert wa.get_business_phone_number().webhook_configuration["phone_number"] == there
    assert wa.delete_phone_callback_url().success
    assert wa.override_waba_callback_url(there, VERIFY).success and wa.delete_waba_callback_url().success
    inbox.server.shutdown()


def people(simulator, wa):
    simulator.says(**{"from": "+" + GIORGI, "text": "spam"})
    assert [one.input for one in wa.block_users([GIORGI]).added_users] == [GIORGI]
    assert [one.wa_id for one in wa.get_blocked_users()] == [GIORGI]
    assert refused(lambda: wa.send_message(GIORGI, "x")).code == 130403
    assert wa.unblock_users([GIORGI]).removed_users and not list(wa.get_blocked_users())
    assert wa.send_message(GIORGI, "x").id


def not_played(wa):
    """What pywa documents and the simulator does not play: each says so, and stands in docs/simulator.md."""
    soon = datetime.datetime.now()
    for call in [
        lambda: wa.create_group(subject="A group"), lambda: wa.get_groups(), lambda: wa.get_flows(), lambda: wa.create_flow("f", ["OTHER"]),
        lambda: wa.get_business_phone_number_settings(),
        lambda: wa.request_verification_code(code_method="SMS", language_code="en"), lambda: wa.get_current_username(),
        lambda: wa.get_owned_business_accounts(business_portfolio_id="900000000000801"),
        lambda: wa.unpause_template("1"), lambda: wa.compare_templates("1", "2", start=soon, end=soon),
        lambda: wa.get_app_access_token(1, "s"), lambda: wa.get_signups(),
        lambda: wa.send_catalog(NINO, "All we have"), lambda: wa.send_product(NINO, "1", "2"),
        lambda: wa.archive_templates(["1"]), lambda: wa.initiate_call(NINO, types.calls.SessionDescription(sdp_type="offer", sdp="x")),
        lambda: wa.pin_message(NINO, "wamid.1", expiration_days=1),
    ]:
        error = refused(call)
        assert "does not" in f"{error.message} {error.details}", error


def refused(call):
    try:
        done = call()
    except errors.WhatsAppError as error:
        return error
    raise AssertionError(f"was taken: {done}")
