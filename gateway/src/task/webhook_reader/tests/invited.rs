//! What somebody who was invited says, and thinks again.

use super::persons::{ago, post, text};
use super::*;
use crate::random::Rng;

/// An owner invites Maria; then she answers and thinks again.
const INVITES: &str =
    "[[contact]]\nid = \"owner\"\nphone = \"+1 555 010 0144\"\nroles = [\"owner\", \"manager\"]\n";

fn answer(number: usize, what: &str, at: i64) -> String {
    let id = format!("wamid.a{number}");
    let message = match what {
        "tap yes" | "tap no" => {
            let title = if what == "tap yes" { "Yes" } else { "No" };
            let button = json!({ "type": "button_reply", "button_reply": { "id": title.to_lowercase(), "title": title } });
            json!({ "from": "15550100166", "id": id, "timestamp": at.to_string(), "type": "interactive", "interactive": button })
        }
        words => text("15550100166", &id, at, words),
    };
    post(json!({ "messages": [message] }))
}

fn invited() -> Site {
    let mut site = Site::with(INVITES);
    site.config.site.owner = vec!["owner".into()];
    site.hears(text("15550100144", "wamid.i", ago(9_000), "invite +1 555 010 0166 Maria as manager"));
    site
}

/// On the list or not, and whether messages are wanted.
fn stands(site: &Site) -> String {
    let sql =
        "SELECT g.state, coalesce(p.stopped, 0) FROM guest g LEFT JOIN person p ON p.contact = g.contact";
    site.rows(sql).concat()
}

#[test]
fn invitation_answers_count_by_time_in_any_order() {
    for (answers, end) in [
        (vec!["tap yes", "no"], "declined 0"),
        (vec!["yes", "No"], "declined 0"),
        (vec!["tap yes", "STOP"], "joined 1"),
        (vec!["STOP", "tap yes"], "joined 0"),
        (vec!["no", "tap yes"], "joined 0"),
        (vec!["tap yes", "STOP", "START"], "joined 0"),
        (vec!["tap yes", "STOP", "no"], "declined 1"),
    ] {
        let bodies: Vec<String> = answers
            .iter()
            .enumerate()
            .map(|(number, what)| answer(number, what, ago(900) + number as i64))
            .collect();
        let back: Vec<String> = bodies.iter().rev().cloned().collect();
        let has_start = answers.contains(&"START");
        for order in [bodies, back].into_iter().take(if has_start { 1 } else { 2 }) {
            let site = invited();
            site.takes(&order);
            assert_eq!(stands(&site), end, "{answers:?}: {}", site.notes());
        }
    }
    // Once they have got an alert, a bare No is about something else; and so it is as an answer to a message.
    for (quotes, alerted, end) in
        [(false, true, "joined 0"), (true, false, "joined 0"), (false, false, "declined 0")]
    {
        let site = invited();
        site.take(answer(1, "tap yes", ago(900)).as_bytes());
        if alerted {
            let raised =
                "INSERT INTO alert (id, rule, severity, bindings, raised_at) VALUES (1, 'pump', 2, '{}', 1)";
            site.store.dump(raised).expect("raised");
            let told = format!(
                "UPDATE message SET alert = 1, created_at = {} WHERE id = (SELECT max(id) FROM message WHERE contact = 'maria')",
                ago(800) * 1_000
            );
            site.store.dump(&told).expect("told");
        }
        let mut no = text("15550100166", "wamid.n", ago(700), "no");
        if quotes {
            no["context"] = json!({ "id": "wamid.other" });
        }
        site.hears(no);
        assert_eq!(stands(&site), end, "{quotes} {alerted}: {}", site.notes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn an_invited_persons_answers_end_the_same_in_any_order(
        story in prop::collection::vec(prop::sample::select(vec!["tap yes", "tap no", "no", "STOP"]), 1..6),
        seeds in prop::collection::vec(any::<u64>(), 2),
    ) {
        let bodies: Vec<String> =
            story.iter().enumerate().map(|(number, what)| answer(number, what, ago(900) + number as i64)).collect();
        let ends = |bodies: &[String]| {
            let site = invited();
            site.takes(bodies);
            stands(&site)
        };
        let straight = ends(&bodies);
        for seed in seeds {
            let mut dice = Rng::seeded(seed);
            let mut shuffled = [bodies.clone(), bodies.clone()].concat();
            for at in (1..shuffled.len()).rev() {
                shuffled.swap(at, usize::try_from(dice.below(at as u64 + 1)).expect("small"));
            }
            prop_assert_eq!(&ends(&shuffled), &straight, "{:?}", story);
        }
    }
}
