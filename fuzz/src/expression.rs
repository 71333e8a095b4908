//! A condition, a message and a payload, as `condition` has them, and what they may cost: memory and time are the oracle. In
//! the payload the text `@60000` stands for so many letters and `#9000` for a list with so many entries, so that a short
//! input asks for much.

use std::time::Duration;

use serde_json::{Value, json};

use super::{site, text_line};

/// What one event may add to the memory of the process, in KiB: the promise is 16 MB, and a device has few of them.
const MEMORY_MAX_KIB: u64 = 16 * 1024;
/// Of a processor, also in a program without optimisation: the next alert leaves within 2 s.
const TIME_MAX: Duration = Duration::from_millis(1_500);
/// What is read of a payload.
const PAYLOAD_MAX: usize = 64 * 1024;

pub fn expression(data: &[u8]) {
    let Some((when, rest)) = text_line(data) else { return };
    let Some((message, payload)) = text_line(rest) else { return };
    let Ok(payload) = serde_json::from_slice::<Value>(payload) else { return };
    let payload = written_out(payload).to_string();
    if payload.len() > PAYLOAD_MAX {
        return;
    }
    let (when, message) = (json!(when), json!(message));
    let rule = format!(
        "[[rule]]\nname = \"r\"\ntopic = \"t/{{area}}\"\nwhen = {when}\nmessage = {message}\nnotify = [\"nino\"]\n\
         [[rule]]\nname = \"s\"\ntopic = \"t/{{area}}\"\nmessage = {message}\nnotify = [\"nino\"]\n"
    );
    site::house(); // what is made once is no event's
    let (memory, time) = (Peak::begin(), processor_time());
    if let Ok(config) = site::parse(&format!("{}{rule}", site::HEAD)) {
        site::decide(&config, "t/bar", None, payload.as_bytes());
    }
    let (grown, took) = (memory.grown_kib(), processor_time().saturating_sub(time));
    assert!(grown <= MEMORY_MAX_KIB, "{grown} KiB for one event");
    assert!(took <= TIME_MAX, "{took:?} for one event");
}

fn written_out(value: Value) -> Value {
    let count = |text: &str| text.parse::<usize>().ok().map(|count| count.min(PAYLOAD_MAX));
    match value {
        Value::String(text) => {
            let letters = text.strip_prefix('@').and_then(count).map(|count| json!("x".repeat(count)));
            let entries = text.strip_prefix('#').and_then(count).map(|count| json!(vec![1; count]));
            letters.or(entries).unwrap_or(Value::String(text))
        }
        Value::Array(items) => items.into_iter().map(written_out).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, written_out(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// The most memory that this process held since, by the kernel's count.
struct Peak(u64);

impl Peak {
    fn begin() -> Self {
        std::fs::write("/proc/self/clear_refs", "5").expect("the kernel counts the peak anew");
        Self(kib("VmRSS:"))
    }

    fn grown_kib(&self) -> u64 {
        kib("VmHWM:").saturating_sub(self.0)
    }
}

fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// Of this thread; other programs of a busy machine do not count.
fn processor_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel tells");
    let nanoseconds = times.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}
