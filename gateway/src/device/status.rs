//! Whether a device is heard, as an event: rules tell it, and their alerts end, as with any other.

use std::time::Duration;

use serde_json::json;

use crate::device::member::Member;
use crate::device::record::Route;
use crate::device::topic;
use crate::event::incoming::{Event, EventSource, Identity};
use crate::time::{Timestamp, duration_for_people};

/// A device says hello once a minute (protocol, section 4): two may be lost, the third is missed.
pub const SILENT_AFTER: Duration = Duration::from_secs(3 * 60);

/// The event, which takes the device's row along in its transaction, and what the owner is told.
pub fn of(device: &str, member: &Member, now: Timestamp) -> (Event, String) {
    let line = member.route.to_string();
    let (state, text) = if member.silent {
        let long = duration_for_people(SILENT_AFTER);
        let what = "look at its power and its cable";
        ("silent", format!("{device} has not been heard for {long}; its last line was {line}: {what}"))
    } else {
        ("here", format!("{device} is heard again"))
    };
    let payload = json!({ "state": state, "line": line, "firmware": member.said.firmware });
    let event = Event {
        content_type: Some("application/json".to_owned()),
        identity: Identity::Status { device: device.to_owned(), silent: member.silent },
        ..Event::new(source(&member.route), topic::of_status(device), payload.to_string(), now)
    };
    (event, text)
}

pub fn source(route: &Route) -> EventSource {
    match route {
        Route::Mqtt => EventSource::Mqtt,
        Route::Serial(_) => EventSource::Serial,
    }
}
