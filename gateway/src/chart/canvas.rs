//! Lines and digits as pixels of sixteen colours. Edges are smooth: each ink has three strengths.

/// What is drawn with. Paper takes away what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Curve,
    Words,
    Limit,
    End,
    Paper,
    Tint,
    Grid,
}

const INKS: [[u8; 3]; 4] = [[0x0b, 0x57, 0xa4], [0x1c, 0x24, 0x22], [0xc4, 0x1e, 0x14], [0x17, 0x70, 0x3f]];
const PAPER: u8 = 0;
const TINT: u8 = 13;
const GRID: u8 = 14;

/// Polylines on a grid of 4 by 6, as `xy xy xy`, apart by `|`.
const GLYPHS: [(char, &str); 14] = [
    ('0', "10 30 41 45 36 16 05 01 10"),
    ('1', "12 30 36"),
    ('2', "01 10 30 41 42 06 46"),
    ('3', "01 10 30 41 42 33 23|33 44 45 36 16 05"),
    ('4', "36 30 04 44"),
    ('5', "40 10 03 33 44 45 36 16 05"),
    ('6', "41 30 10 01 05 16 36 45 44 33 13 04"),
    ('7', "00 40 16"),
    ('8', "10 30 41 42 33 13 02 01 10|13 04 05 16 36 45 44 33"),
    ('9', "05 16 36 45 41 30 10 01 02 13 33 42"),
    ('-', "03 33"),
    ('.', "06 06"),
    (':', "02 02|05 05"),
    ('e', "04 44 43 32 12 03 05 16 46"),
];

pub struct Canvas {
    pub width: usize,
    pub pixels: Vec<u8>,
}

pub type Place = (f64, f64);

impl Canvas {
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, pixels: vec![PAPER; width * height] }
    }

    pub fn palette() -> Vec<[u8; 3]> {
        let mut palette = vec![[255; 3]];
        for ink in INKS {
            let mixed = |strength: u16| {
                ink.map(|part| ((u16::from(part) * strength + 255 * (3 - strength)) / 3) as u8)
            };
            palette.extend((1..=3).map(mixed));
        }
        palette.extend([[0xfb, 0xe3, 0xe0], [0xd3, 0xd9, 0xd7]]);
        palette
    }

    fn set(&mut self, x: usize, y: usize, ink: Ink, strength: u8) {
        let Some(pixel) = self.pixels.get_mut(y * self.width + x) else { return };
        let new = colour(ink, strength);
        // A weak edge is drawn on paper, or over a weaker one of its own, and does not eat into another ink.
        let gives_way =
            matches!(*pixel, PAPER | TINT | GRID) || (*pixel - 1) / 3 == ink as u8 && *pixel < new;
        if strength == 3 || gives_way && ink != Ink::Paper {
            *pixel = new;
        }
    }

    /// Without smooth edges.
    pub fn rectangle(&mut self, (left, top): Place, (right, bottom): Place, ink: Ink) {
        let range = |from: f64, to: f64| from.round().max(0.0) as usize..to.round().max(0.0) as usize;
        let (rows, columns) = (range(top, bottom), range(left, right.min(self.width as f64)));
        for row in self.pixels.chunks_exact_mut(self.width).take(rows.end).skip(rows.start) {
            row.get_mut(columns.clone()).into_iter().for_each(|part| part.fill(colour(ink, 3)));
        }
    }

    /// A line with round ends; from a place to itself it is a dot.
    pub fn line(&mut self, from: Place, to: Place, radius: f64, ink: Ink) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let square = dx * dx + dy * dy;
        let part = if square > 0.0 { 1.0 / square } else { 0.0 };
        let range = |a: f64, b: f64, most: usize| {
            let (low, high) = (a.min(b) - radius - 1.0, a.max(b) + radius + 2.0);
            low.max(0.0) as usize..(high.max(0.0) as usize).min(most)
        };
        // Roots are asked for at the edge alone, which is most of the time that a picture takes.
        let (inside, outside) = ((radius - 0.5).max(0.0).powi(2), (radius + 0.5).powi(2));
        let height = self.pixels.len() / self.width;
        for y in range(from.1, to.1, height) {
            let py = y as f64 - from.1;
            for x in range(from.0, to.0, self.width) {
                let px = x as f64 - from.0;
                let along = ((px * dx + py * dy) * part).clamp(0.0, 1.0);
                let away = (px - along * dx).powi(2) + (py - along * dy).powi(2);
                if away < inside {
                    self.set(x, y, ink, 3);
                } else if away < outside {
                    let strength = ((radius + 0.5 - away.sqrt()) * 3.0).round() as u8;
                    if strength > 0 {
                        self.set(x, y, ink, strength);
                    }
                }
            }
        }
    }

    /// Lines of that length with as long a pause, along one axis.
    pub fn dashes(&mut self, from: Place, to: Place, length: f64, radius: f64, ink: Ink) {
        let whole = (to.0 - from.0).hypot(to.1 - from.1).max(1.0);
        let at = |along: f64| {
            let part = (along / whole).min(1.0);
            (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part)
        };
        let mut along = 0.0;
        while along < whole {
            self.line(at(along), at(along + length), radius, ink);
            along += length * 2.0;
        }
    }

    /// Digits of that height; `at` is the left upper corner.
    pub fn text(&mut self, text: &str, at: Place, size: f64, ink: Ink) {
        let unit = size / 6.0;
        let mut left = at.0;
        for letter in text.chars() {
            let strokes =
                GLYPHS.iter().find(|(known, _)| *known == letter).map_or("", |(_, strokes)| strokes);
            for stroke in strokes.split('|') {
                let place = |pair: &str| {
                    let part =
                        |place: usize| f64::from(pair.as_bytes().get(place).copied().unwrap_or(b'0') - b'0');
                    (left + part(0) * unit, at.1 + part(1) * unit)
                };
                let places: Vec<Place> = stroke.split(' ').map(place).collect();
                places.windows(2).for_each(|pair| self.line(pair[0], pair[1], size * 0.085, ink));
            }
            left += advance(letter) * unit;
        }
    }
}

fn colour(ink: Ink, strength: u8) -> u8 {
    match ink {
        Ink::Paper => PAPER,
        Ink::Tint => TINT,
        Ink::Grid => GRID,
        Ink::Curve | Ink::Words | Ink::Limit | Ink::End => ink as u8 * 3 + strength,
    }
}

fn advance(letter: char) -> f64 {
    match letter {
        '.' | ':' => 2.4,
        '-' => 5.0,
        _ => 6.0,
    }
}

/// How wide a text of that height is.
pub fn width(text: &str, size: f64) -> f64 {
    (text.chars().map(advance).sum::<f64>() - 2.0).max(0.0) * size / 6.0
}
