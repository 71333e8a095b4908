//! The topics that devices and rules meet on. A device on a serial line has the same ones as if it spoke MQTT, so a rule
//! does not know the difference.

use firmware_bridge::mqtt::PREFIX;
use firmware_bridge::{DEVICE_MAX_BYTES, Kind, NAME_MAX_BYTES};

/// What the gateway listens to.
pub const LISTENS: [Kind; 3] = [Kind::Hello, Kind::Event, Kind::Result];

/// What to subscribe to.
pub fn filters() -> impl Iterator<Item = String> {
    LISTENS.into_iter().map(|kind| format!("{PREFIX}/+/{}", kind.topic_level()))
}

/// The topic of one device's messages of one kind; that of its events is what rules match.
#[must_use]
pub fn of(device: &str, kind: Kind) -> String {
    format!("{PREFIX}/{device}/{}", kind.topic_level())
}

/// Where the fleet says whether a device is heard; no device speaks there.
#[must_use]
pub fn of_status(device: &str) -> String {
    format!("{PREFIX}/{device}/status")
}

/// Whose message of which kind a topic carries, if it is one of the protocol's.
#[must_use]
pub fn read(topic: &str) -> Option<(&str, Kind)> {
    let (device, level) = topic.strip_prefix(PREFIX)?.strip_prefix('/')?.split_once('/')?;
    Kind::from_topic_level(level).map(|kind| (device, kind))
}

/// The device and the command's name that a rule's action means by `bellwire/device/DEVICE/command/NAME`.
#[must_use]
pub fn read_command(topic: &str) -> Option<(&str, &str)> {
    let (device, rest) = topic.strip_prefix(PREFIX)?.strip_prefix('/')?.split_once('/')?;
    let name = rest.strip_prefix(Kind::Command.topic_level())?.strip_prefix('/')?;
    let fits = (1..=DEVICE_MAX_BYTES).contains(&device.len()) && (1..=NAME_MAX_BYTES).contains(&name.len());
    (fits && !name.contains('/')).then_some((device, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_as_they_are_written() {
        assert_eq!(of("freezer-2", Kind::Event), "bellwire/device/freezer-2/event");
        assert_eq!(read("bellwire/device/freezer-2/hello"), Some(("freezer-2", Kind::Hello)));
        assert_eq!(read("bellwire/device/freezer-2/command/defrost"), None);
        assert_eq!(read("bellwire/device/freezer-2"), None);
        assert_eq!(read("shop/freezer-2/event"), None);
        assert_eq!(filters().last().as_deref(), Some("bellwire/device/+/result"));
    }

    #[test]
    fn a_status_is_no_message_of_the_protocol() {
        assert_eq!(of_status("freezer-2"), "bellwire/device/freezer-2/status");
        assert_eq!(read(&of_status("freezer-2")), None);
    }

    #[test]
    fn a_command_names_its_device() {
        assert_eq!(read_command("bellwire/device/freezer-2/command/defrost"), Some(("freezer-2", "defrost")));
        assert_eq!(read_command("bellwire/device/freezer-2/command"), None);
        assert_eq!(read_command("bellwire/device/freezer-2/command/"), None);
        assert_eq!(read_command("bellwire/device/freezer-2/command/a/b"), None);
        assert_eq!(read_command("site/bar/freezer/2/set"), None);
    }
}
