//! A template's parameter, a message, and the payload that they show: what Meta would refuse does not leave.

use serde_json::json;

use super::{site, text_line};

pub fn parameter(data: &[u8]) {
    let Some((source, rest)) = text_line(data) else { return };
    let Some((message, payload)) = text_line(rest) else { return };
    let (source, message) = (json!(source), json!(message));
    let rule = format!(
        "[[rule]]\nname = \"r\"\ntopic = \"t/{{area}}\"\npayload = \"text\"\nmessage = {message}\nnotify = [\"nino\"]\n\
         template = {{ name = \"alarm_v1\", language = \"en\", parameters = [{source}, \"{{{{ text }}}}\"] }}\n"
    );
    let Ok(config) = site::parse(&format!("{}{rule}", site::HEAD)) else { return };
    drop(site::decide(&config, "t/bar", None, payload));
}
