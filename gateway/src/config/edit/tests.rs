use proptest::prelude::*;

use super::*;

const TEXT: &str = "\
# The shop.
[site]
name = \"Bar\" # on the door

# Who is told.
[[contact]]
id = \"nino\"
phone = \"+995 555 12 34 56\" # her own
# language = \"de\"

# At night.
[[contact]]
id = \"giorgi\"
roles = [
  \"kitchen\", # cooks
]

[[rule]]
name = \"door\"
topic = 'site/{door}/door'
message = \"\"\"
Open
\"\"\"
[rule.attach]
kind = \"image\"
[[rule.action]]
id = \"shut\"
title = \"Shut\"

# Smoke kills.
[[rule]]
name = \"smoke\"
";

fn text(words: &str) -> Option<Value> {
    Some(Value::String(words.to_owned()))
}

fn path(of: &[(&'static str, &str)]) -> Path {
    of.iter().map(|(list, name)| (*list, (*name).to_owned())).collect()
}

/// The lines that went and came, with a sign before each.
fn changed(before: &str, after: &str) -> Vec<String> {
    let lines = difference(before, after);
    let sign = |line: &Line| match line.side {
        Side::Old => Some(format!("-{}", line.text)),
        Side::New => Some(format!("+{}", line.text)),
        Side::Both | Side::Gap => None,
    };
    lines.iter().filter_map(sign).collect()
}

fn set(place: &[(&'static str, &str)], keys: &[(&'static str, Option<Value>)]) -> Vec<String> {
    let change = Change::Set { place: path(place), keys: keys.to_vec() };
    changed(TEXT, &apply(TEXT, &change).expect("changed"))
}

fn removed(place: &[(&'static str, &str)]) -> Vec<String> {
    changed(TEXT, &apply(TEXT, &Change::Remove { place: path(place) }).expect("changed"))
}

#[test]
fn a_key_changes_and_its_comment_stays() {
    let nino = [("contact", "nino")];
    assert_eq!(
        set(&nino, &[("phone", text("+49 30 901820"))]),
        ["-phone = \"+995 555 12 34 56\" # her own", "+phone = \"+49 30 901820\" # her own"]
    );
    assert_eq!(set(&nino, &[("phone", text("+995 555 12 34 56"))]), [""; 0], "it says so already");
    assert_eq!(set(&nino, &[("name", text("Nino")), ("language", None)]), ["+name = \"Nino\""]);
    assert_eq!(set(&nino, &[("phone", None)]), ["-phone = \"+995 555 12 34 56\" # her own"]);
    let roles = Value::Array(vec![Value::String("bar".into())]);
    assert_eq!(
        set(&[("contact", "giorgi")], &[("roles", Some(roles))]),
        ["-roles = [", "-  \"kitchen\", # cooks", "-]", "+roles = [\"bar\"]"]
    );
    assert_eq!(
        set(&[("rule", "door")], &[("message", text("Shut it")), ("for", text("5m"))]),
        ["-message = \"\"\"", "-Open", "-\"\"\"", "+message = \"Shut it\"", "+for = \"5m\""],
        "its own keys stand before its sections"
    );
    assert_eq!(
        set(&[("rule", "door"), ("action", "shut")], &[("title", text("Close"))]),
        ["-title = \"Shut\"", "+title = \"Close\""]
    );
}

#[test]
fn new_tables_follow_their_kind_and_removals_take_comments() {
    assert_eq!(
        set(&[("contact", "anna")], &[("id", text("anna")), ("name", text("Anna"))]),
        ["+[[contact]]", "+id = \"anna\"", "+name = \"Anna\"", "+"]
    );
    let new =
        apply(TEXT, &Change::Set { place: path(&[("contact", "anna")]), keys: Vec::new() }).expect("added");
    assert!(new.contains("]\n\n[[contact]]\nid = \"anna\"\n\n[[rule]]"), "{new}");
    assert_eq!(set(&[("rule", "smoke"), ("action", "go")], &[]), ["+", "+[[rule.action]]", "+id = \"go\""]);
    assert_eq!(set(&[("rule", "door"), ("action", "go")], &[]), ["+[[rule.action]]", "+id = \"go\"", "+"]);
    assert_eq!(set(&[("team", "kitchen")], &[]), ["+", "+[[team]]", "+id = \"kitchen\""]);
    assert_eq!(removed(&[("contact", "giorgi")])[..2], ["-# At night.", "-[[contact]]"]);
    assert_eq!(
        removed(&[("contact", "nino")]),
        [
            "-[[contact]]",
            "-id = \"nino\"",
            "-phone = \"+995 555 12 34 56\" # her own",
            "-# language = \"de\"",
            "-"
        ],
        "what stands above the first is about them all"
    );
    assert_eq!(removed(&[("rule", "smoke")]), ["-# Smoke kills.", "-[[rule]]", "-name = \"smoke\""]);
    assert_eq!(removed(&[("rule", "door"), ("action", "shut")]).len(), 4);
    assert_eq!(removed(&[("rule", "door")]).len(), 12);
}

#[test]
fn what_only_the_text_can_change_is_refused() {
    let change = |text: &str, change: &Change| apply(text, change).expect_err("refused");
    let phone = Change::Set { place: path(&[("contact", "nino")]), keys: vec![("phone", text("1"))] };
    assert_eq!(change("[site\n", &phone), EditError::Unreadable);
    let gone = Change::Remove { place: path(&[("contact", "x")]) };
    assert_eq!(change(TEXT, &gone), EditError::Gone("contact `x`".into()));
    let inline = "contact = [{ id = \"nino\" }]\n";
    assert_eq!(change(inline, &phone), EditError::OnlyByHand, "it has no line of its own");
    let other = Change::Set { place: path(&[("contact", "anna")]), keys: Vec::new() };
    assert_eq!(change(inline, &other), EditError::OnlyByHand);
    let dotted = "[[contact]]\nid = \"nino\"\nphone.home = \"1\"\n";
    assert_eq!(change(dotted, &phone), EditError::OnlyByHand);
    let no_rule = Change::Set { place: path(&[("rule", "x"), ("action", "y")]), keys: Vec::new() };
    assert_eq!(change(TEXT, &no_rule), EditError::Gone("rule `x`".into()));
}

#[test]
fn a_text_without_an_end_of_line_takes_changes_too() {
    let phone = Change::Set { place: path(&[("contact", "nino")]), keys: vec![("phone", text("1"))] };
    assert_eq!(
        apply("[[contact]]\nid = \"nino\"", &phone).expect("changed"),
        "[[contact]]\nid = \"nino\"\nphone = \"1\"\n"
    );
    assert_eq!(
        apply("a = 1", &phone).expect("changed"),
        "a = 1\n\n[[contact]]\nid = \"nino\"\nphone = \"1\"\n"
    );
    assert_eq!(apply("", &phone).expect("changed"), "[[contact]]\nid = \"nino\"\nphone = \"1\"\n");
    let windows = "[[contact]]\r\nid = \"nino\"\r\nphone = \"2\"\r\n";
    assert_eq!(apply(windows, &phone).expect("changed"), windows.replace('2', "1"));
}

#[test]
fn the_example_takes_each_form() {
    let example = include_str!("../../../../config/bellwire.toml");
    for form in FORMS {
        let of = "freezer-too-warm";
        let tables = named(example, &form, of).expect("it can be read");
        assert!(!tables.is_empty(), "{}", form.list);
        for table in tables {
            let name = table[form.identity()].as_str().expect("a name");
            let remove = Change::Remove { place: form.path(name, of) };
            apply(example, &remove).unwrap_or_else(|error| panic!("{} {name}: {error}", form.list));
            let show = |key: &str| {
                let field = form.fields.iter().find(|field| field.key == key).expect("a field");
                table.get(key).map_or(Some(String::new()), |value| shown(field.kind, value))
            };
            let filled: std::collections::BTreeMap<&str, String> =
                form.fields.iter().filter_map(|field| Some((field.key, show(field.key)?))).collect();
            let change = form.change(
                (name, of),
                |key| filled.get(key).map(String::as_str),
                |key| filled[key].split(", ").map(str::to_owned).collect(),
            );
            let new = apply(example, &change.expect("a name")).expect("the same");
            assert_eq!(
                changed(example, &new),
                [""; 0],
                "{} {name}: nothing was changed in the form",
                form.list
            );
        }
    }
}

#[test]
fn a_filled_form_becomes_a_change_of_the_file() {
    let contact = form("contact").expect("a form");
    let filled = |key: &str| match key {
        "id" => Some(" anna "),
        "phone" => Some("+49 151 1"),
        "roles" => Some("bar, kitchen"),
        "quiet_hours" => Some("22:00-07:00"),
        "may_stop" => Some("false"),
        "name" => Some(""),
        _ => None,
    };
    let change = contact.change(("", ""), filled, |_| Vec::new()).expect("a change");
    let new = apply("", &change).expect("added");
    assert_eq!(
        new,
        "[[contact]]\nid = \"anna\"\nphone = \"+49 151 1\"\nroles = [\"bar\", \"kitchen\"]\nquiet_hours = \"22:00-07:00\"\nmay_stop = false\n"
    );
    assert_eq!(contact.change(("", ""), |_| Some(""), |_| Vec::new()), Err(EditError::Nameless("id")));
}

#[test]
fn a_difference_has_its_numbers_and_a_few_lines_around() {
    let old: String = (1..=20).map(|line| format!("{line}\n")).collect();
    let new = old.replace("\n10\n", "\nten\n10\n").replace("15\n", "");
    let shown = difference(&old, &new);
    let numbers: Vec<(&str, usize, &str)> =
        shown.iter().map(|line| (line.side.as_str(), line.number, line.text)).collect();
    assert_eq!(
        numbers[..5],
        [("gap", 0, ""), ("both", 7, "7"), ("both", 8, "8"), ("both", 9, "9"), ("new", 10, "ten")]
    );
    assert!(numbers.contains(&("old", 15, "15")), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&("gap", 0, "")));
    assert_eq!(difference(&old, &old), []);
    assert_eq!(one_line(&old, &new), "+1 -1 lines: ten");
    let (a, b): (String, String) =
        ((0..1_500).map(|n| format!("a{n}\n")).collect(), (0..1_500).map(|n| format!("b{n}\n")).collect());
    assert_eq!(difference(&a, &b).len(), 3_000, "beyond the bound all of it is shown");
}

proptest! {
    /// Whatever is written how: a change means what it should and nothing else, or is refused.
    #[test]
    fn a_change_means_what_it_should_or_is_refused(
        lines in prop::collection::vec(prop::sample::select(vec![
            "[[rule]]", "[[contact]]", "id = \"nino\"", "name = \"door\"", "phone = \"1\" # one", "[rule.attach]", "[[rule.action]]",
            "id = \"shut\"", "# a comment", "", "roles = [", "\"x\",", "]", "[site]", "m = \"\"\"", "\"\"\"", "contact = [{ id = \"nino\" }]",
            "phone.x = 1", "  [[contact]]", "t = { id = \"x\" }",
        ]), 0..20),
        remove: bool, inner: bool,
    ) {
        let text = lines.join("\n");
        let place = if inner { path(&[("rule", "door"), ("action", "shut")]) } else { path(&[("contact", "nino")]) };
        let keys = vec![("phone", Some(Value::String("2\n\"x\"".into()))), ("roles", None)];
        let change = if remove { Change::Remove { place } } else { Change::Set { place, keys } };
        if let Ok(new) = apply(&text, &change) {
            prop_assert!(new.parse::<Table>().is_ok());
            let kept = |text: &str| text.matches("# a comment").count();
            prop_assert!(remove || kept(&new) == kept(&text) || text.contains("roles"), "{text}\n---\n{new}");
        }
    }

    #[test]
    fn a_difference_leads_from_one_text_to_the_other(
        old in prop::collection::vec("[abc]", 0..30), new in prop::collection::vec("[abc]", 0..30),
    ) {
        let (old, new) = (old.join("\n"), new.join("\n"));
        let shown = difference(&old, &new);
        let lines: Vec<&str> = old.lines().collect();
        for line in shown {
            match line.side {
                Side::Old => prop_assert_eq!(lines[line.number - 1], line.text),
                Side::Both | Side::New => prop_assert_eq!(new.lines().nth(line.number - 1), Some(line.text)),
                Side::Gap => {}
            }
        }
    }
}
