//! Plots as SVG: lines over a logarithmic or a plain axis, readable on a light and on a dark page.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 64.0;
/// Told apart by people who do not see red and green, too (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Some lines over one axis.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plot {
    /// The file's name, too.
    pub name: String,
    pub title: String,
    pub x: String,
    pub y: String,
    /// Each decade is as wide as the next.
    pub by_decades: bool,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    pub fn new(name: &str, title: &str, x: &str, y: &str) -> Self {
        let texts = [name, title, x, y].map(str::to_owned);
        let [name, title, x, y] = texts;
        Self { name, title, x, y, by_decades: true, series: Vec::new() }
    }

    pub fn over_time(mut self) -> Self {
        self.by_decades = false;
        self
    }

    pub fn add(&mut self, series: &str, x: f64, y: f64) {
        match self.series.iter_mut().find(|known| known.name == series) {
            Some(known) => known.points.push((x, y)),
            None => self.series.push(Series { name: series.into(), points: vec![(x, y)] }),
        }
    }

    /// Of hours the highest point in each of so many parts: a peak of a second is what they are looked at for.
    pub fn peaks(mut self, parts: usize) -> Self {
        for series in &mut self.series {
            let highest =
                |part: &[(f64, f64)]| part.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1));
            let size = series.points.len().div_ceil(parts).max(1);
            series.points = series.points.chunks(size).filter_map(highest).collect();
        }
        self
    }

    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let scale = |x: f64| if self.by_decades { x.max(1.0).log10() } else { x };
        let least = points().map(|(x, _)| scale(x)).fold(f64::MAX, f64::min);
        let most = points().map(|(x, _)| scale(x)).fold(f64::MIN, f64::max);
        let top = nice(points().map(|(_, y)| y).fold(0.0, f64::max));
        let across = |x: f64| LEFT + (scale(x) - least) / (most - least).max(1e-9) * (WIDTH - LEFT - RIGHT);
        let up = |y: f64| HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{}</text>\n\
             <text x=\"{LEFT}\" y=\"36\" fill=\"#555555\">{}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>\n",
            self.title,
            self.y,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 26.0,
            self.x
        );
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let y = up(value);
            _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                short(value)
            );
        }
        self.ticks(&mut svg, &across);
        for (index, series) in self.series.iter().enumerate() {
            self.line(&mut svg, series, index, &across, &up);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Where something was measured; over time, where it is not a handful of places, round seconds, minutes and hours.
    fn marks(&self) -> Vec<f64> {
        let mut marks: Vec<f64> =
            self.series.iter().flat_map(|series| series.points.iter().map(|(x, _)| *x)).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let (Some(first), Some(last)) = (marks.first().copied(), marks.last().copied()) else { return marks };
        if self.by_decades {
            return marks;
        }
        let steps = [10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0];
        let step = steps.into_iter().find(|step| (last - first) / step <= 8.0).unwrap_or(last);
        std::iter::successors(Some((first / step).ceil() * step), |mark| Some(mark + step))
            .take_while(|mark| *mark <= last)
            .collect()
    }

    fn ticks(&self, svg: &mut String, across: &dyn Fn(f64) -> f64) {
        for mark in &self.marks() {
            _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                across(*mark),
                HEIGHT - BOTTOM + 16.0,
                short(*mark)
            );
        }
    }

    fn line(
        &self,
        svg: &mut String,
        series: &Series,
        index: usize,
        across: &dyn Fn(f64) -> f64,
        up: &dyn Fn(f64) -> f64,
    ) {
        let colour = COLOURS[index % COLOURS.len()];
        let path: Vec<String> =
            series.points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
        _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        if series.points.len() <= 12 {
            for (x, y) in &series.points {
                _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    across(*x),
                    up(*y)
                );
            }
        }
        if self.series.len() < 2 {
            return; // the title says what the only line is
        }
        let x = LEFT + (index as f64) * 140.0;
        let y = HEIGHT - 8.0;
        _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\">{}</text>",
            y - 6.0,
            x + 18.0,
            series.name
        );
    }
}

/// The next of 1, 2, 4, 5 and their tens above it: four steps to it have short numbers.
fn nice(value: f64) -> f64 {
    let ten = 10_f64.powf(value.max(1e-9).log10().floor());
    let step = [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().find(|step| step * ten >= value * 1.05);
    step.unwrap_or(20.0) * ten
}

/// A number as short as it may be read: 10 k, 1.5 M.
pub fn short(value: f64) -> String {
    let trim = |text: String| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    match value.abs() {
        size if size >= 1e6 => format!("{} M", trim(format!("{:.1}", value / 1e6))),
        size if size >= 1e4 => format!("{} k", trim(format!("{:.1}", value / 1e3))),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => trim(format!("{value:.1}")),
        size if size >= 1.0 => trim(format!("{value:.2}")), // 5.97 of 6
        _ => trim(format!("{value:.3}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_axes_mark_minutes_and_single_lines_need_no_legend() {
        let mut plot = Plot::new("soak", "Memory", "seconds", "MB").over_time();
        for second in 0..420 {
            plot.add("", f64::from(second) + 0.417, 8.0);
        }
        assert_eq!(plot.marks(), [60.0, 120.0, 180.0, 240.0, 300.0, 360.0]);
        assert!(!plot.svg().contains("height=\"4\""), "{}", plot.svg());
        plot.add("another", 1.0, 2.0);
        assert!(plot.svg().contains(">another</text>"));
    }

    #[test]
    fn what_is_measured_at_a_few_places_is_marked_there() {
        let mut plot = Plot::new("cost", "Cost", "messages", "µs");
        for rows in [1.0, 10_000.0] {
            plot.add("drain", rows, 1_000.0);
        }
        assert_eq!(plot.marks(), [1.0, 10_000.0]);
    }
}
