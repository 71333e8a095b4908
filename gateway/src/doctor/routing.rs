//! Who gets what people write to a number (Conversation Routing). Meta lets an app read its own roles; the address of that call is
//! not in what can be read of its pages, so what webhooks have told is looked at instead.

use super::Findings;
use crate::config::{Config, Connection};
use crate::store::Store;
use crate::time::{Clock, SystemClock};
use crate::whatsapp::notices::routing::{MAKE_OURS, STANDBY, TAKEN_OVER};

pub fn examine(findings: &mut Findings, config: &Config, connection: &Connection) {
    let Ok(store) = Store::open_existing(&config.site.state_directory) else { return };
    let known = store.facts(SystemClock.now()).unwrap_or_default();
    let told =
        |wanted: &str| known.iter().find(|(about, name, _)| *about == connection.name.0 && name == wanted);
    if told(STANDBY).is_some() {
        let what =
            "what people write to this number goes to another app or agent, and comes here only as `standby`";
        findings.fail("routing", what, MAKE_OURS);
    } else if let Some((_, _, to)) = told(TAKEN_OVER) {
        findings.fail("routing", format!("a conversation on this number was taken over ({to})"), MAKE_OURS);
    } else {
        findings.good("routing", "no webhook says that another app gets what people write");
    }
}
