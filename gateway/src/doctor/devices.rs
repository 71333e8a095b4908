//! Devices that have one name, or too many names.

use std::time::Duration;

use super::Findings;
use crate::config::Config;
use crate::device::fleet::DEVICES_MAX;
use crate::store::Store;
use crate::time::{Clock, SystemClock, Timestamp, duration_for_people};

const CHECK: &str = "devices";
/// What goes on is kept again each hour.
const MISNAMED_FOR: Duration = Duration::from_secs(2 * 3_600);

/// Reads what the daemon has noticed.
pub fn examine(findings: &mut Findings, config: &Config) {
    let Ok(store) = Store::open_existing(&config.site.state_directory) else {
        return; // nothing ever came; the disk was looked at before
    };
    let now = SystemClock.now();
    let misnamed = || store.misnamed_since(now - MISNAMED_FOR);
    let (devices, misnamed) = match store.devices().and_then(|devices| Ok((devices, misnamed()?))) {
        Ok(found) => found,
        Err(error) => {
            let what = format!("the devices cannot be read: {error}");
            findings.warn(CHECK, what, "bellwire check says whether the database is whole");
            return;
        }
    };
    for device in &devices {
        let Some(at) = device.clash_at else { continue };
        let ago = duration_for_people(Timestamp(at).until(now));
        let name = &device.id;
        findings.warn(
            CHECK,
            format!("two devices call themselves {name}; both were heard {ago} ago"),
            format!(
                "give one of them another name; `bellwire devices show {name}` says what it is; if the device has only moved to \
                 another line: bellwire devices forget {name}"
            ),
        );
    }
    if let Some(what) = &misnamed {
        let next = "correct the name in the device's program: in its topics, or in its messages";
        findings.warn(CHECK, what.clone(), next);
    }
    if devices.len() >= DEVICES_MAX {
        let what = format!("there are {} names of devices, and no room for more", devices.len());
        let next = "each new name takes the place of one that was not heard for long: approve yours with `bellwire devices \
                    approve NAME`, and look who may publish on bellwire/device/# at the broker";
        findings.warn(CHECK, what, next);
    } else if !devices.is_empty()
        && misnamed.is_none()
        && devices.iter().all(|device| device.clash_at.is_none())
    {
        findings.good(CHECK, format!("{} known, each by a name of its own", devices.len()));
    }
}
