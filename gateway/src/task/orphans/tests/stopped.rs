use std::sync::Arc;

use super::*;

/// The configuration calls Nino by another id, and the telephone is the same.
#[test]
fn a_renamed_contact_stays_opted_out() {
    let site = Site::under(&FIRST);
    let wish = |contact: &str, given, at| {
        site.store
            .transaction(|store| store.consent(&contact.into(), given, "a message", at, at))
            .expect("kept")
    };
    assert!(wish("nino", false, NOW));
    let mut renamed = FIRST.config();
    let people = Arc::make_mut(&mut renamed.people);
    let mut nino = people.contacts.remove(&"nino".into()).expect("Nino");
    nino.id = "nina".into();
    people.contacts.insert(nino.id.clone(), nino);
    let end = |config: &Config| site.store.transaction(|store| end(store, config, NOW)).expect("ended");
    let stopped = || site.rows("SELECT contact FROM person WHERE stopped = 1 ORDER BY contact");
    let told =
        "nina is nino under another id, who wrote STOP: alerts to them are held until they write START";
    assert!(end(&renamed).contains(&told.to_owned()));
    assert_eq!(stopped(), ["nina", "nino"]);
    assert!(!end(&renamed).contains(&told.to_owned()), "once");
    assert!(wish("nina", true, NOW + std::time::Duration::from_secs(60)));
    end(&renamed);
    assert_eq!(stopped(), ["nino"], "their newest word counts");
}
