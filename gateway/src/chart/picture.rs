//! The picture that an alert carries. A phone shows it seven centimetres wide: large digits, a thick line, and no words.

use jiff::tz::TimeZone;

use super::canvas::{Canvas, Ink, Place, width};
use super::frame::Frame;
use super::plot::Plot;
use super::png;
use crate::time::Timestamp;

/// The shape to which WhatsApp cuts the picture above a template, 1.91 to 1; even, as two pixels share a byte. Twice as many pixels
/// take twice the time and twice the room on the card, and look the same on a phone.
const WIDTH: usize = 800;
const HEIGHT: usize = 418;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 356.0;
const RIGHT: f64 = 774.0;
/// Heights of digits: a phone shows half of these pixels as points.
const LABELS: f64 = 28.0;
const LAST: f64 = 44.0;
/// Labels of time that have room beside each other.
const TIMES: i64 = 4;
const LINE: f64 = 3.0;

struct Drawing<'a> {
    canvas: Canvas,
    plot: &'a Plot,
    frame: Frame,
    zone: &'a TimeZone,
    left: f64,
}

/// A PNG, by the clock of that zone.
#[must_use]
pub fn draw(plot: &Plot, zone: &TimeZone) -> Vec<u8> {
    let frame = Frame::of(plot);
    let limits = plot.thresholds.iter().map(|one| frame.exact(one.limit));
    let labels = frame.values().into_iter().map(|(_, label)| label).chain(limits);
    let widest = labels.map(|label| width(&label, LABELS)).fold(0.0, f64::max);
    let canvas = Canvas::new(WIDTH, HEIGHT);
    let mut drawing = Drawing { canvas, plot, frame, zone, left: widest + 36.0 };
    drawing.values();
    drawing.curve();
    let marked = drawing.marks();
    drawing.times(&marked);
    drawing.last();
    png::encode(WIDTH, &drawing.canvas.pixels, &Canvas::palette())
}

impl Drawing<'_> {
    fn x(&self, at: Timestamp) -> f64 {
        self.left + self.frame.x(at) * (RIGHT - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.frame.y(value) * (BOTTOM - TOP)
    }

    fn place(&self, at: Timestamp, value: f64) -> Place {
        (self.x(at), self.y(value))
    }

    /// The scale at the left, and the limits over it.
    fn values(&mut self) {
        let (plot, left) = (self.plot, self.left);
        for limit in plot.thresholds.iter().filter(|one| !one.ends) {
            let (y, end) = (self.y(limit.limit), if limit.is_above { TOP } else { BOTTOM });
            self.canvas.rectangle((left, y.min(end)), (RIGHT, y.max(end)), Ink::Tint);
        }
        let limits: Vec<f64> = plot.thresholds.iter().map(|one| self.y(one.limit)).collect();
        for (value, label) in self.frame.values() {
            let y = self.y(value);
            self.canvas.rectangle((left, y - 1.0), (RIGHT, y + 1.0), Ink::Grid);
            if limits.iter().all(|limit| (limit - y).abs() > LABELS + 9.0) {
                self.label(&label, y, Ink::Words);
            }
        }
        self.canvas.rectangle((left, BOTTOM - 1.0), (RIGHT, BOTTOM + 1.0), Ink::Words);
        let mut labelled: Vec<f64> = Vec::new();
        for limit in &plot.thresholds {
            let (y, label) = (self.y(limit.limit), self.frame.exact(limit.limit));
            let (ink, radius) = if limit.ends { (Ink::End, 1.7) } else { (Ink::Limit, 2.4) };
            self.canvas.dashes((left, y), (RIGHT, y), 12.0, radius, ink);
            if labelled.iter().all(|other| (other - y).abs() > LABELS + 5.0) {
                self.label(&label, y, ink);
                labelled.push(y);
            }
        }
    }

    fn label(&mut self, label: &str, y: f64, ink: Ink) {
        let left = self.left - 17.0 - width(label, LABELS);
        let top = (y - LABELS / 2.0).min(BOTTOM - LABELS + 3.0);
        self.canvas.text(label, (left, top), LABELS, ink);
    }

    fn curve(&mut self) {
        let plot = self.plot;
        for readings in plot.pieces() {
            let mut before = None;
            for one in readings {
                let here = self.place(one.at, one.last);
                let (low, high) = (self.place(one.at, one.min), self.place(one.at, one.max));
                self.canvas.line(before.unwrap_or(here), here, LINE, Ink::Curve);
                self.canvas.line(low, high, LINE, Ink::Curve);
                before = Some(here);
            }
            if let (1, Some(at)) = (readings.len(), before) {
                self.canvas.line(at, at, LINE + 3.0, Ink::Curve); // a value alone is a dot
            }
        }
    }

    /// When it fired: a line from top to bottom, a ring where the number was, and the time below. Where the times stand.
    fn marks(&mut self) -> Vec<(f64, f64)> {
        let (plot, mut taken) = (self.plot, Vec::new());
        for at in plot.marks.iter().map(|mark| mark.at).filter(|at| (plot.from..=plot.until).contains(at)) {
            let x = self.x(at);
            self.canvas.dashes((x, TOP), (x, BOTTOM), 6.0, 1.7, Ink::Words);
            if let Some(value) = plot.value_at(at) {
                let place = (x, self.y(value));
                for (radius, ink) in [(12.5, Ink::Paper), (10.5, Ink::Words), (5.5, Ink::Paper)] {
                    self.canvas.line(place, place, radius, ink);
                }
            }
            let label = at.calendar(self.zone).time;
            let wide = width(&label, LABELS);
            let left = (x - wide / 2.0).min(WIDTH as f64 - wide - 16.0).max(self.left);
            let (begin, end) = (left - 12.0, left + wide + 12.0);
            if taken.iter().all(|(from, to)| end < *from || *to < begin) {
                self.canvas.rectangle((begin, BOTTOM + 9.0), (end, BOTTOM + 59.0), Ink::Words);
                self.canvas.text(&label, (left, BOTTOM + 20.0), LABELS, Ink::Paper);
                taken.push((begin - 9.0, end + 9.0));
            }
        }
        taken
    }

    fn times(&mut self, taken: &[(f64, f64)]) {
        for (at, label) in self.frame.times(self.zone, TIMES) {
            let (x, wide) = (self.x(at), width(&label, LABELS));
            self.canvas.rectangle((x - 1.0, BOTTOM), (x + 1.0, BOTTOM + 9.0), Ink::Words);
            let left = (x - wide / 2.0).min(WIDTH as f64 - wide - 7.0).max(7.0);
            if taken.iter().all(|(from, to)| left + wide < *from || *to < left) {
                self.canvas.text(&label, (left, BOTTOM + 20.0), LABELS, Ink::Words);
            }
        }
    }

    /// The last value in large digits, on the side that the curve does not come from.
    fn last(&mut self) {
        let Some(last) = self.plot.readings.last() else { return };
        let label = self.frame.exact(last.last);
        let (wide, (x, y)) = (width(&label, LAST), self.place(last.at, last.last));
        let left = (x - 22.0 - wide).min(RIGHT - wide - 9.0).max(self.left + 9.0);
        let covered = self.plot.readings.iter().filter(|one| self.x(one.at) >= left);
        let (mut high, mut low) = (y, y);
        for one in covered {
            (high, low) = (high.min(self.y(one.max)), low.max(self.y(one.min)));
        }
        let above = high - 20.0 - LAST;
        let top = if above >= TOP { above } else { (low + 20.0).min(BOTTOM - LAST - 10.0) };
        self.canvas.rectangle((left - 8.0, top - 8.0), (left + wide + 8.0, top + LAST + 8.0), Ink::Paper);
        self.canvas.text(&label, (left, top), LAST, Ink::Curve);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chart::plot::{Mark, Reading};
    use crate::chart::png::tests::decode;
    use crate::rule::threshold::Threshold;

    const CURVE: [u8; 3] = [0x0b, 0x57, 0xa4];
    const WORDS: [u8; 3] = [0x1c, 0x24, 0x22];
    const LIMIT: [u8; 3] = [0xc4, 0x1e, 0x14];
    const END: [u8; 3] = [0x17, 0x70, 0x3f];
    const TINT: [u8; 3] = [0xfb, 0xe3, 0xe0];
    const PAPER: [u8; 3] = [255; 3];

    fn at(minute: i64) -> Timestamp {
        Timestamp(1_795_240_800_000 + minute * 60_000) // 06:00 UTC, 10:00 in Tbilisi
    }

    /// Minutes and values of six hours, a limit that fires, one that ends, and when it fired.
    fn plot(values: &[(i64, f64)], limits: &[f64], fired: Option<i64>) -> Plot {
        let reading = |(minute, value): &(i64, f64)| Reading {
            since: at(*minute),
            at: at(*minute),
            min: *value,
            max: *value,
            last: *value,
        };
        let threshold = |(number, limit): (usize, &f64)| Threshold {
            limit: *limit,
            is_above: number == 0,
            ends: number > 0,
        };
        Plot {
            from: at(0),
            until: at(360),
            readings: values.iter().map(reading).collect(),
            thresholds: limits.iter().enumerate().map(threshold).collect(),
            marks: fired.map(|minute| Mark { at: at(minute) }).into_iter().collect(),
        }
    }

    fn freezer() -> Plot {
        let warm = |minute: i64| if minute < 300 { 0.0 } else { (minute - 300) as f64 * 0.1 };
        let value = |minute: i64| (minute, -18.4 + warm(minute) + ((minute * 37 % 100) as f64) / 120.0);
        let mut plot = plot(&(0..=340).step_by(4).map(value).collect::<Vec<_>>(), &[-15.0, -17.0], Some(334));
        plot.readings[30].max = -9.5; // a spike within four minutes
        plot
    }

    /// Where a text stands in a picture, in whole strength; each stroke is searched for.
    struct Seen {
        width: usize,
        pixels: Vec<[u8; 3]>,
    }

    fn seen(plot: &Plot, zone: &str) -> Seen {
        let (width, pixels) = decode(&draw(plot, &crate::time::zone(zone).expect("a zone")));
        assert_eq!((width, pixels.len()), (WIDTH, WIDTH * HEIGHT));
        Seen { width, pixels }
    }

    impl Seen {
        fn count(&self, colour: [u8; 3]) -> usize {
            self.pixels.iter().filter(|pixel| **pixel == colour).count()
        }

        fn has(&self, text: &str, size: f64, colour: [u8; 3]) -> bool {
            let (wide, high) = (width(text, size) as usize + 24, size as usize + 24);
            // Labels begin between two pixels: four places in each direction.
            (0..16).any(|place| {
                let (dx, dy) = (f64::from(place % 4) / 4.0, f64::from(place / 4) / 4.0);
                let mut canvas = Canvas::new(wide, high);
                canvas.text(text, (10.0 + dx, 10.0 + dy), size, Ink::Words);
                let whole = 3 * Ink::Words as u8 + 3;
                let of_text = canvas.pixels.iter().enumerate().filter(|(_, pixel)| **pixel == whole);
                let mask: Vec<usize> = of_text.map(|(at, _)| at / wide * self.width + at % wide).collect();
                let reach = mask.last().copied().unwrap_or_default();
                let misses = mask.len() / 25; // edges fall otherwise by a fraction of a pixel
                (0..self.pixels.len() - reach).any(|from| {
                    self.pixels[from + mask[0]] == colour
                        && mask
                            .iter()
                            .filter(|at| self.pixels[from + **at] != colour)
                            .take(misses + 1)
                            .count()
                            <= misses
                })
            })
        }

        fn pixel(&self, x: f64, y: f64) -> [u8; 3] {
            self.pixels[y as usize * self.width + x as usize]
        }
    }

    #[test]
    fn a_chart_shows_local_times_limits_and_the_last_value() {
        let plot = freezer();
        let seen = seen(&plot, "Asia/Tbilisi");
        for (text, size, colour, is_there) in [
            ("-15", LABELS, LIMIT, true),
            ("-17", LABELS, END, true),
            ("-15", LABELS, WORDS, false),
            ("12:00", LABELS, WORDS, true),
            ("14:00", LABELS, WORDS, true),
            ("08:00", LABELS, WORDS, false),
            ("15:34", LABELS, PAPER, true),
            ("16:00", LABELS, WORDS, false),
            ("-13.7", LAST, CURVE, true),
        ] {
            assert_eq!(seen.has(text, size, colour), is_there, "{text}");
        }
        assert!(seen.count(TINT) > 50_000, "what is beyond the limit is tinted");
        let frame = Frame::of(&plot);
        let left = width("-17", LABELS).max(width("-20", LABELS)) + 36.0;
        let x = |minute| left + frame.x(at(minute)) * (RIGHT - left);
        let y = |value| BOTTOM - frame.y(value) * (BOTTOM - TOP);
        assert_eq!(seen.pixel(x(120), y(-10.0)), CURVE, "a spike that came and went");
        assert_eq!(
            seen.pixel(x(334), y(plot.value_at(at(334)).expect("a value"))),
            PAPER,
            "the ring's middle"
        );
        assert_eq!(seen.pixel(x(334) + 8.0, y(plot.value_at(at(334)).expect("a value"))), WORDS, "the ring");
    }

    #[test]
    fn unusual_values_still_make_a_picture() {
        let far = f64::from(f32::MAX);
        for (name, plot, label) in [
            ("one value", plot(&[(200, 21.5)], &[], None), "21.5"),
            ("constant", plot(&[(0, 0.0), (100, 0.0), (360, 0.0)], &[], Some(100)), "0"),
            ("on the limit", plot(&[(0, 8.0), (360, 8.0)], &[8.0], Some(360)), "8"),
            ("huge", plot(&[(0, -far), (100, far), (360, 1.0)], &[1.0], Some(0)), "1e0"),
            ("far from its limit", plot(&[(0, 20.0), (360, 21.0)], &[100_000.0], None), "21"),
            ("fired before", plot(&[(300, 1.0), (360, 2.0)], &[1.5], Some(-30)), "2"),
        ] {
            let seen = seen(&plot, "UTC");
            assert!(seen.count(CURVE) > 80, "{name}");
            assert!(seen.has(label, LAST, CURVE), "{name}: {label}");
        }
    }

    #[test]
    fn gaps_stay_empty_and_a_lone_value_is_a_dot() {
        let steady: Vec<(i64, f64)> = (0..100).map(|minute| (minute, 5.0)).collect();
        let with_gap: Vec<(i64, f64)> = steady.iter().copied().chain([(250, 5.0)]).collect();
        let (with, without) =
            (seen(&plot(&with_gap, &[], None), "UTC"), seen(&plot(&steady, &[], None), "UTC"));
        let more = with.count(CURVE).saturating_sub(without.count(CURVE));
        assert!((50..500).contains(&more), "{more} pixels of a dot, and no line of 400");
    }

    #[test]
    fn where_the_clock_is_put_back_an_hour_comes_twice() {
        let mut plot = plot(&[(0, 1.0), (100, 2.0)], &[], None);
        let from = Timestamp::exact("2026-10-24T23:50:00Z").expect("a time");
        (plot.from, plot.until) = (from, from + Duration::from_secs(3 * 3_600));
        plot.readings.iter_mut().for_each(|one| one.at = from + Duration::from_secs(600));
        let seen = seen(&plot, "Europe/Berlin");
        assert!(
            seen.has("02:00", LABELS, WORDS)
                && seen.has("03:00", LABELS, WORDS)
                && !seen.has("04:00", LABELS, WORDS)
        );
    }

    #[test]
    fn a_picture_is_small() {
        let file = draw(&freezer(), &TimeZone::UTC);
        if let Some(folder) = std::env::var_os("BELLWIRE_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join("chart.png"), &file).expect("written");
        }
        assert!(file.len() < 20_000, "{} bytes", file.len());
    }
}
