use super::*;
use crate::contact::Phone;
use crate::contact::language::Language;
use crate::outbox::message::Parameter;

fn fixture(name: &str) -> Value {
    let path = format!("{}/../tests/fixtures/cloud-api/requests/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON")
}

fn phone() -> Recipient {
    Recipient::Phone(Phone::parse("+15550100123").expect("valid"))
}

fn made(form: RequestContent, to: &Recipient) -> Value {
    let mut made: Value = serde_json::from_slice(&body(form, to, "callback")).expect("JSON");
    let callback = made.as_object_mut().expect("an object").remove("biz_opaque_callback_data");
    assert_eq!(callback, Some(json!("callback")));
    made
}

fn free(content: &Content) -> Value {
    made(RequestContent::Free { content, more: "more", sentences: Language::English.sentences() }, &phone())
}

fn with(part: Part) -> Content {
    Content { part: Some(part), ..Content::default() }
}

fn says(text: &str, part: Part) -> Content {
    Content { text: text.into(), ..with(part) }
}

fn uploaded() -> Media {
    Media::Id("900000000000101".into())
}

/// The default, which Meta's examples leave out.
fn without_preview(mut fixture: Value) -> Value {
    fixture["text"]["preview_url"] = json!(false);
    fixture
}

#[test]
fn texts_equal_metas_examples() {
    assert_eq!(free(&Content::text("Pump 7: pressure high (9.1 bar)")), fixture("text"));
    let hi = Content::text("hi");
    let to_user = Recipient::UserId("US.90010020030040050060".into());
    assert_eq!(
        made(
            RequestContent::Free { content: &hi, more: "", sentences: Language::English.sentences() },
            &to_user
        ),
        without_preview(fixture("text_to_bsuid"))
    );
    let to_group = Recipient::Group("SYNTHGROUP0001".into());
    assert_eq!(
        made(
            RequestContent::Free { content: &hi, more: "", sentences: Language::English.sentences() },
            &to_group
        ),
        without_preview(fixture("text_group"))
    );
    let reply = fixture("text_reply");
    let quotes = reply["context"]["message_id"].as_str().map(str::to_owned);
    assert_eq!(free(&Content { quotes, ..Content::text("done") }), without_preview(reply));
    let checked = Content { identity_key_hash: Some("c3ludGg=".into()), ..hi.clone() };
    assert_eq!(free(&checked), without_preview(fixture("text_identity_hash")));
    let named: Value = serde_json::from_slice(&body(
        RequestContent::Free { content: &hi, more: "", sentences: Language::English.sentences() },
        &phone(),
        "gw1:0192f7c0-outbox-42",
    ))
    .expect("JSON");
    assert_eq!(named, fixture("text_biz_opaque"));
}

#[test]
fn media_equal_metas_examples() {
    assert_eq!(free(&says("snapshot", Part::Image(uploaded()))), fixture("image_id"));
    let link = Media::Link("https://example.com/a.jpg".into());
    assert_eq!(free(&says("snapshot", Part::Image(link))), fixture("image_link"));
    assert_eq!(free(&says("clip", Part::Video(uploaded()))), fixture("video"));
    assert_eq!(free(&with(Part::Sticker(uploaded()))), fixture("sticker"));
    assert_eq!(free(&with(Part::Audio { media: uploaded(), voice: false })), fixture("audio"));
    assert_eq!(free(&with(Part::Audio { media: uploaded(), voice: true })), fixture("audio_voice"));
    let report = Part::Document { media: uploaded(), filename: Some("report.pdf".into()) };
    assert_eq!(free(&says("daily report", report)), fixture("document"));
}

#[test]
fn places_people_and_reactions_equal_metas_examples() {
    let place = Part::Location {
        latitude: "48.858370".into(),
        longitude: "2.294481".into(),
        name: Some("Plant 7".into()),
        address: Some("1 Example Rd".into()),
    };
    assert_eq!(free(&with(place)), fixture("location"));
    let card = Card { name: "On Call".into(), first_name: "On".into(), phone: "+15550100199".into() };
    assert_eq!(free(&with(Part::Contacts(vec![card]))), fixture("contacts"));
    for (name, emoji) in [("reaction", "✅"), ("reaction_remove", "")] {
        let to = fixture(name)["reaction"]["message_id"].as_str().expect("an id").to_owned();
        let content =
            Content { quotes: Some(to.clone()), ..with(Part::Reaction { to, emoji: emoji.into() }) };
        assert_eq!(free(&content), fixture(name), "a reaction has no context");
    }
}

#[test]
fn interactive_messages_equal_metas_examples() {
    let buttons = [("ack:evt-42", "Acknowledge"), ("mute:evt-42", "Mute 1 h"), ("esc:evt-42", "Escalate")];
    let content = Content {
        buttons: buttons.map(|(id, title)| Button::new(id, title)).into(),
        header: Some(Header::Text("Alarm".into())),
        footer: Some("evt-42".into()),
        ..Content::text("Pump 7: pressure high")
    };
    assert_eq!(free(&content), fixture("interactive_buttons"));

    let restart =
        Button { description: Some("Restart the pump".into()), ..Button::new("restart", "Restart") };
    let sections = vec![
        Section { title: "Control".into(), rows: vec![restart] },
        Section { title: "Alerts".into(), rows: vec![Button::new("mute:1h", "Mute 1 h")] },
    ];
    let content = Content {
        header: Some(Header::Text("Pump 7".into())),
        footer: Some("evt-42".into()),
        ..says("Choose an action", Part::List { label: "Actions".into(), sections })
    };
    assert_eq!(free(&content), fixture("interactive_list"));

    let link = Part::Link { label: "Dashboard".into(), url: "https://example.com/d/evt-42".into() };
    assert_eq!(free(&says("Open the dashboard", link)), fixture("interactive_cta_url"));
    assert_eq!(free(&says("Where are you?", Part::LocationRequest)), fixture("interactive_location_request"));
    let flow = Part::Flow {
        id: "900000000000601".into(),
        token: "evt-42".into(),
        label: "Open".into(),
        screen: "FIRST".into(),
    };
    assert_eq!(free(&says("Report", flow)), fixture("interactive_flow"));
    let ask = says("Please share your number", Part::ContactRequest);
    let to = Recipient::UserId("US.90010020030040050060".into());
    assert_eq!(
        made(RequestContent::Free { content: &ask, more: "", sentences: Language::English.sentences() }, &to),
        fixture("interactive_request_contact_info")
    );
}

fn template_request(template: &Template, words: &str) -> Value {
    made(RequestContent::Template { template, words }, &phone())
}

fn blanks(texts: &[&str]) -> Vec<Parameter> {
    texts.iter().map(|text| Parameter { name: None, text: (*text).to_owned() }).collect()
}

#[test]
fn templates_equal_metas_examples() {
    let template =
        |name: &str| Template { name: name.into(), language: "en_US".into(), ..Template::default() };
    assert_eq!(template_request(&template("hello_world"), ""), fixture("template_no_parameters"));

    let positional = Template { parameters: blanks(&["Pump 7", "pressure high"]), ..template("alarm_v1") };
    assert_eq!(template_request(&positional, ""), fixture("template_positional"));

    let named = |name: &str, text: &str| Parameter { name: Some(name.into()), text: text.into() };
    let parameters = vec![named("device", "Pump 7"), named("event", "pressure high")];
    assert_eq!(
        template_request(&Template { parameters, ..template("alarm_v2") }, ""),
        fixture("template_named")
    );

    let full = Template {
        header: Some(Header::Image(uploaded())),
        parameters: blanks(&["Pump 7"]),
        quick_replies: vec!["ack:evt-42".into(), "mute:evt-42".into()],
        ..template("alarm_v3")
    };
    assert_eq!(template_request(&full, ""), fixture("template_header_image_and_quick_reply"));

    let url = Template { url_suffix: Some("evt-42".into()), ..template("alarm_v4") };
    assert_eq!(template_request(&url, ""), fixture("template_url_button"));
}

/// A request of Meta's that nobody builds here would make this list longer than the tests above.
#[test]
fn every_example_of_metas_is_built() {
    let folder = format!("{}/../tests/fixtures/cloud-api/requests", env!("CARGO_MANIFEST_DIR"));
    let source = include_str!("tests.rs");
    for file in std::fs::read_dir(folder).expect("a folder") {
        let name = file.expect("a file").file_name().to_string_lossy().replace(".json", "");
        assert!(source.contains(&format!("\"{name}\"")), "no test builds {name}");
    }
}

#[test]
fn marking_as_read_equals_metas_examples() {
    for (name, typing) in [("mark_read", false), ("mark_read_typing", true)] {
        let expected = fixture(name);
        let wamid = expected["message_id"].as_str().expect("an id");
        let made: Value = serde_json::from_slice(&mark_read(wamid, typing)).expect("JSON");
        assert_eq!(made, expected);
    }
}

#[test]
fn message_text_fills_template_parameters_in_one_line() {
    let template =
        Template { parameters: blanks(&["Bakery", &format!("Alarm: {WORDS}")]), ..Template::default() };
    let made = template_request(&template, "Freezer 2\nis warm");
    let filled = &made["template"]["components"][0]["parameters"];
    assert_eq!(filled[1]["text"], "Alarm: Freezer 2 · is warm");
    let made = template_request(&template, &"x".repeat(5_000));
    let filled = made["template"]["components"][0]["parameters"][1]["text"].as_str().expect("text");
    assert!(limits::length(filled) <= 384, "two blanks share three quarters of 1,024");
}

#[test]
fn a_long_text_becomes_a_list_that_reads_on() {
    let buttons = vec![Button::new("stop", "Stop defrost")];
    let short = Content { buttons: buttons.clone(), ..Content::text("x".repeat(1_024)) };
    assert_eq!(free(&short)["interactive"]["type"], "button");
    assert_eq!(rest(&short), "");

    let longer = Content { buttons: buttons.clone(), ..Content::text("x".repeat(1_025)) };
    let made = free(&longer);
    assert_eq!(made["interactive"]["type"], "list");
    assert_eq!(made["interactive"]["body"]["text"].as_str().expect("text").len(), 1_025);
    assert_eq!(rest(&longer), "");

    let words = "word ".repeat(2_000);
    let longest = Content { buttons, ..Content::text(words.as_str()) };
    let made = free(&longest);
    let rows = made["interactive"]["action"]["sections"][0]["rows"].as_array().expect("rows").clone();
    assert_eq!(
        rows.iter().map(|row| row["title"].as_str().expect("text")).collect::<Vec<_>>(),
        ["Stop defrost", "Read on"]
    );
    assert_eq!(rows[1]["id"], "more");
    let shown = made["interactive"]["body"]["text"].as_str().expect("text").trim_end_matches('…').to_owned();
    let all = format!("{shown} {}", rest(&longest));
    assert_eq!(all.split_whitespace().count(), 2_000, "nothing is lost between the pages");
    assert!(free(&Content::text(words))["interactive"]["action"]["button"] == "More");
}

#[test]
fn more_than_three_actions_are_a_list() {
    let buttons: Vec<Button> = (0..12).map(|n| Button::new(format!("a{n}"), format!("Action {n}"))).collect();
    let made = free(&Content { buttons, ..Content::text("Twelve") });
    assert_eq!(made["interactive"]["action"]["sections"][0]["rows"].as_array().map(Vec::len), Some(10));
}
