//! A condition, a message, and a payload that they read: a decision or a sentence, in bounded time.

use bellwire::rule::template::{check_condition, check_message};
use serde_json::json;

use super::{site, text_line};

pub fn condition(data: &[u8]) {
    let Some((when, rest)) = text_line(data) else { return };
    let Some((message, payload)) = text_line(rest) else { return };
    let errors = [check_condition(when).err(), check_message(message).err()];
    for error in errors.iter().flatten() {
        assert!(!error.what.is_empty() && error.line <= 1, "{error:?}");
    }
    let (when, message) = (json!(when), json!(message)); // TOML's strings are escaped as JSON's are
    let rule = format!(
        "[[rule]]\nname = \"r\"\ntopic = \"t/{{area}}\"\nwhen = {when}\nmessage = {message}\nnotify = [\"nino\"]\n"
    );
    let Ok(config) = site::parse(&format!("{}{rule}", site::HEAD)) else { return };
    assert!(errors.iter().all(Option::is_none), "what was read compiles");
    let first = site::decide(&config, "t/bar", None, payload);
    assert_eq!(first, site::decide(&config, "t/bar", None, payload), "the same twice");
}
