//! Who did what: kept through kills, and what is put in is found.

use bellwire_tests::wait_for;

use crate::parts::{send, two_hubs};

#[test]
fn the_hubs_audit_is_complete_and_cannot_be_changed() {
    let (engine, _meta, mut hubs, proxy) = two_hubs();
    let token = hubs[0].enrol("shop", &["+49151000"]);
    for row in 1..=20 {
        let told = send(&proxy.url(""), &token, row, 1, "+49151000", 0).expect("an answer");
        assert_eq!((told.0, told.1.as_str()), (200, "answer"), "{}", told.2);
    }
    hubs[0].says(&["sites", "limit", "shop", "--day", "500"]);
    hubs[1].says(&["sites", "revoke", "shop"]);
    let list = wait_for(10, "all of it", || {
        let list = hubs[0].says(&["audit"]);
        (list.lines().filter(|line| line.contains("\tsent\tshop\t")).count() == 20).then_some(list)
    });
    for what in ["site added", "enrolled", "limit changed", "tokens revoked"] {
        assert_eq!(
            list.lines().filter(|line| line.contains(&format!("\t{what}\tshop\t"))).count(),
            1,
            "{what}: {list}"
        );
    }
    let first = list.lines().find(|line| line.contains("bellwire/0badcafe/1/1")).expect("the first message");
    assert!(
        first.ends_with("\t200") && !list.contains("49151000"),
        "the answer, and nobody's number: {first}"
    );
    assert_eq!(hubs[0].says(&["audit", "--site", "other"]), "");

    // Commands at both hubs at once append to one chain, one after the other.
    std::thread::scope(|scope| {
        for at in 0..8 {
            let hub = &hubs[at % 2];
            scope.spawn(move || hub.says(&["sites", "limit", "shop", "--day", &at.to_string()]));
        }
    });
    assert_eq!(hubs[0].says(&["audit"]).lines().filter(|line| line.contains("limit changed")).count(), 9);

    // A hub that is told to end has written all; one that is killed goes on in another chain.
    assert!(hubs[0].stop());
    hubs[1].kill();
    hubs[1].up();
    hubs[1].wait_ready();
    let verified = hubs[1].says(&["audit", "--verify"]);
    assert!(verified.contains("none was changed or removed"), "{verified}");

    // The engine itself refuses to remove an entry; what somebody with its password puts in does not follow.
    let refused = engine.ask("$JS.API.STREAM.MSG.DELETE.AUDIT", r#"{"seq":1}"#);
    assert!(refused.contains("error"), "{refused}");
    let refused = engine.ask("$JS.API.STREAM.PURGE.AUDIT", "{}");
    assert!(refused.contains("error"), "{refused}");
    engine.ask("audit.commands", r#"{"chain":"commands","number":12,"notes":[]}"#);
    let verified = hubs[1].command(&["audit", "--verify"]);
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!verified.status.success() && said.contains("of commands"), "{said}");
}
