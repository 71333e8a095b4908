//! A form's change of a text: it is made as asked, with every comment kept, or refused. The first line is LIST NAME OF KEY and the
//! value that was filled in; the text follows.

use bellwire::config::edit::{Change, Side, apply, difference, form, named};

pub fn edit(data: &[u8]) {
    let Some((first, rest)) = super::text_line(data) else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let mut words = first.splitn(5, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (list, name, of, key, value) = (word(), word(), word(), word(), word());
    let Some(form) = form(list) else { return };
    let filled = |asked: &str| match asked {
        asked if asked == form.identity() => Some(name),
        asked if asked == key => Some(value),
        _ => None,
    };
    let Ok(change) = form.change((name, of), filled, |_| vec![value.to_owned()]) else { return };
    let remove = Change::Remove { place: form.path(name, of) };
    for change in [change, remove] {
        let Ok(edited) = apply(text, &change) else { continue };
        let tables = named(&edited, form, of).expect("what was made can be read");
        let is_there =
            tables.iter().any(|table| table.get(form.identity()).and_then(|id| id.as_str()) == Some(name));
        if let Change::Set { .. } = change {
            assert!(is_there, "{name} is not in {edited}");
            assert_eq!(apply(&edited, &change).as_deref(), Ok(&edited[..]), "made twice it is another text");
            for line in text.lines().filter(|line| line.trim_start().starts_with('#')) {
                assert!(edited.contains(line), "{line} is gone from {edited}");
            }
        }
        let changed = difference(text, &edited);
        assert_eq!(changed.is_empty(), text.lines().eq(edited.lines()));
        assert!(changed.iter().all(|line| match line.side {
            Side::New | Side::Both => edited.lines().nth(line.number.saturating_sub(1)) == Some(line.text),
            Side::Old => text.lines().nth(line.number.saturating_sub(1)) == Some(line.text),
            Side::Gap => true,
        }));
    }
}
