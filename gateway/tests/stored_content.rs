//! What messages say stands in the outbox as JSON: a later version reads what an earlier one has written, and writes it so that the
//! earlier one still reads it. Whoever changes a name or a form here changes it in databases that exist.

use bellwire::outbox::message::{Content, Media, Part};

/// Rows as they stand in databases today, with every field and every form.
const ROWS: [&str; 20] = [
    r#"{"text":"The door is open"}"#,
    r#"{"text":"x","buttons":[{"id":"a1","title":"Lock it"},{"id":"a2","title":"All","description":"of them"}],"quotes":"wamid.1"}"#,
    r#"{"text":"x","header":{"text":"Bar"},"footer":"since 14:03","identity_key_hash":"h"}"#,
    r#"{"text":"x","header":{"image":{"id":"1"}}}"#,
    r#"{"text":"x","header":{"video":{"link":"https://x.example/v.mp4"}}}"#,
    r#"{"text":"x","header":{"document":{"kept":{"sha256":"00"}}}}"#,
    r#"{"text":"x","part":{"image":{"fetch":{"url":"http://camera/now.jpg"}}}}"#,
    r#"{"text":"x","part":{"video":{"file":{"path":"v.mp4","within":"/srv"}}}}"#,
    r#"{"text":"","part":{"audio":{"media":{"file":{"path":"a.ogg"}},"voice":true}}}"#,
    r#"{"text":"","part":{"document":{"media":{"id":"1"},"filename":null}}}"#,
    r#"{"text":"","part":{"location":{"latitude":"41.7","longitude":"44.8","name":null,"address":"Corner"}}}"#,
    r#"{"text":"","part":{"contacts":[{"name":"Nino K","first_name":"Nino","phone":"+15550100123"}]}}"#,
    r#"{"text":"","part":{"reaction":{"to":"wamid.1","emoji":"✅"}}}"#,
    r#"{"text":"x","part":{"list":{"label":"More","sections":[{"title":"Door","rows":[{"id":"a1","title":"Lock it"}]}]}}}"#,
    r#"{"text":"x","part":"contact_request"}"#,
    r#"{"text":"x","part":{"flow":{"id":"1","token":"t","label":"Open","screen":"START"}}}"#,
    r#"{"text":"x","templates":[{"name":"alarm","language":"en_US","header":{"image":{"id":"1"}},"parameters":[{"name":"area","text":"Bar"}],"quick_replies":["a1"],"url_suffix":"/1"},{"name":"plain","language":"ka"}]}"#,
    r#"{"text":"","part":{"sticker":{"id":"1"}}}"#,
    r#"{"text":"x","part":{"link":{"label":"Open","url":"https://x.example"}}}"#,
    r#"{"text":"x","part":"location_request"}"#,
];

#[test]
fn stored_messages_are_read_and_written_as_they_stand() {
    for row in ROWS {
        let content: Content = serde_json::from_str(row).expect(row);
        assert_eq!(serde_json::to_string(&content).expect("JSON"), row);
    }
    let of = |row: &str| -> Content { serde_json::from_str(row).expect(row) };
    let reaction = Part::Reaction { to: "wamid.1".into(), emoji: "✅".into() };
    assert_eq!(of(ROWS[12]), Content { part: Some(reaction), ..Content::default() });
    let picture = Part::Image(Media::Fetch { url: "http://camera/now.jpg".into() });
    assert_eq!(of(ROWS[6]), Content { part: Some(picture), ..Content::text("x") });
    assert_eq!(of("{}"), Content::default(), "the first version wrote no empty field");
}
