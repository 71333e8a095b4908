//! A topic, a content type, a payload: what every rule of a house makes of it.

use super::{line, site, text_line};

pub fn event(data: &[u8]) {
    let Some((topic, rest)) = text_line(data) else { return };
    let (content_type, payload) = line(rest);
    let content_type = std::str::from_utf8(content_type).ok().filter(|name| !name.is_empty());
    let decision = site::decide(site::house(), topic, content_type, payload);
    assert_eq!(decision.event.payload, payload);
}
