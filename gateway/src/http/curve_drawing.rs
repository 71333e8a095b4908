//! What numbers were, as a drawing in the page itself: no script, and the colours of light and dark are the page's own.

use jiff::tz::TimeZone;
use minijinja::{Error, ErrorKind, Value as Word};

use crate::chart::frame::Frame;
use crate::chart::plot::Plot;

/// The drawing's own measures; the page stretches it.
const RIGHT: f64 = 352.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 140.0;
/// Of a digit, at the size that a phone shows.
const DIGIT: f64 = 8.5;
/// Labels of time and of values that have room.
const TIMES: i64 = 4;
const APART: f64 = 15.0;

/// What goes into `<svg viewBox="0 0 360 164">`. Its words stand beside it, in `curve.html`.
pub fn drawing(plot: &Word, zone: &TimeZone) -> Result<Word, Error> {
    let read = serde_json::to_value(plot).and_then(serde_json::from_value);
    let plot: Plot = read.map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    Ok(Word::from_safe_string(svg(&plot, zone)))
}

fn svg(plot: &Plot, zone: &TimeZone) -> String {
    let frame = Frame::of(plot);
    let (values, limits) = (frame.values(), &plot.thresholds);
    let labels = values
        .iter()
        .map(|(_, label)| label.len())
        .chain(limits.iter().map(|one| frame.exact(one.limit).len()));
    let left = labels.max().unwrap_or_default() as f64 * DIGIT + 8.0;
    let x = |at| left + frame.x(at) * (RIGHT - left);
    let y = |value| BOTTOM - frame.y(value) * (BOTTOM - TOP);
    let mut svg = String::new();
    let mut say = |piece: std::fmt::Arguments| svg.push_str(&piece.to_string());
    for limit in limits.iter().filter(|one| !one.ends) {
        let (at, end) = (y(limit.limit), if limit.is_above { TOP } else { BOTTOM });
        let (top, height, width) = (at.min(end), (at - end).abs(), RIGHT - left);
        say(format_args!(
            "<rect class=\"tint\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }
    for (value, label) in &values {
        let at = y(*value);
        say(format_args!("<path class=\"axis\" d=\"M{left:.1} {at:.1}H{RIGHT}\"/>"));
        if limits.iter().all(|limit| (y(limit.limit) - at).abs() > APART) {
            say(format_args!(
                "<text class=\"tick value\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                left - 6.0,
                at + 5.0
            ));
        }
    }
    let mut labelled: Vec<f64> = Vec::new();
    for limit in limits {
        let (at, class) = (y(limit.limit), if limit.ends { "limit end" } else { "limit" });
        say(format_args!("<path class=\"{class}\" d=\"M{left:.1} {at:.1}H{RIGHT}\"/>"));
        if labelled.iter().all(|other| (other - at).abs() > APART) {
            let label = frame.exact(limit.limit);
            say(format_args!(
                "<text class=\"tick value {class}\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                left - 6.0,
                at + 5.0
            ));
            labelled.push(at);
        }
    }
    for (at, label) in frame.times(zone, TIMES) {
        // A label at an edge stays inside.
        let middle = x(at).clamp(2.5 * DIGIT, RIGHT - 2.5 * DIGIT);
        say(format_args!("<text class=\"tick\" x=\"{middle:.1}\" y=\"158\">{label}</text>"));
    }
    say(format_args!("<path class=\"curve\" d=\""));
    for piece in plot.pieces() {
        for (number, one) in piece.iter().enumerate() {
            let letter = if number == 0 { 'M' } else { 'L' };
            let (at, last) = (x(one.at), y(one.last));
            say(format_args!("{letter}{at:.1} {last:.1}"));
            if one.min < one.max {
                say(format_args!("V{:.1}V{:.1}V{last:.1}", y(one.min), y(one.max)));
            }
            if number == 0 {
                say(format_args!("h0")); // a value alone is a dot
            }
        }
    }
    say(format_args!("\"/>"));
    for at in plot.marks.iter().map(|mark| mark.at).filter(|at| (plot.from..=plot.until).contains(at)) {
        let across = x(at);
        say(format_args!("<path class=\"mark\" d=\"M{across:.1} {TOP}V{BOTTOM}\"/>"));
        if let Some(value) = plot.value_at(at) {
            say(format_args!("<circle class=\"mark\" cx=\"{across:.1}\" cy=\"{:.1}\" r=\"4.5\"/>", y(value)));
        }
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::plot::{Mark, Reading};
    use crate::rule::threshold::Threshold;
    use crate::time::Timestamp;

    fn reading(minute: i64, min: f64, max: f64, last: f64) -> Reading {
        let at = Timestamp(1_795_240_800_000 + minute * 60_000); // 06:00 UTC
        Reading { since: at, at, min, max, last }
    }

    #[test]
    fn a_drawing_has_limits_spikes_gaps_and_the_moment() {
        let readings = vec![
            reading(0, 1.0, 1.0, 1.0),
            reading(30, 1.0, 9.0, 2.0),
            reading(60, 3.0, 3.0, 3.0),
            reading(300, 5.0, 5.0, 5.0),
        ];
        let (from, until) = (readings[0].at, Timestamp(readings[0].at.0 + 360 * 60_000));
        let thresholds = [(4.0, false), (2.0, true)]
            .map(|(limit, ends)| Threshold { limit, is_above: !ends, ends })
            .to_vec();
        let marks = vec![Mark { at: readings[3].at }];
        let plot = Plot { from, until, readings, thresholds, marks };
        let zone = crate::time::zone("Asia/Tbilisi").expect("a zone");
        let word = Word::from(minijinja::value::Serde(serde_json::to_value(&plot).expect("JSON")));
        let svg = drawing(&word, &zone).expect("drawn").to_string();
        insta::assert_snapshot!(svg.replace("/>", "/>\n").replace("</text>", "</text>\n"));
    }
}
