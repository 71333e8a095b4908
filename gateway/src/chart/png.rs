//! A picture of at most sixteen colours as PNG (W3C PNG, third edition), in the few lines that it takes: each row is written as
//! what differs from the one above, and runs of one byte are all that is compressed (RFC 1951, 3.2.6: the fixed codes).

/// So many repetitions one code takes.
const RUN_MAX: usize = 258;

/// `pixels` are numbers of colours, row by row; the width is even.
pub fn encode(width: usize, pixels: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    let size = |size: usize| u32::try_from(size).unwrap_or(0).to_be_bytes();
    let mut rows = Vec::with_capacity(pixels.len() / 2 + pixels.len() / width);
    let mut above = vec![0; width / 2];
    for row in pixels.chunks_exact(width) {
        let packed: Vec<u8> = row.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        rows.push(2); // the filter Up
        rows.extend(packed.iter().zip(&above).map(|(new, old)| new.wrapping_sub(*old)));
        above = packed;
    }
    // Four bits a pixel, by palette, no interlace.
    let head = [&size(width)[..], &size(pixels.len() / width), &[4, 3, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in
        [(b"IHDR", head), (b"PLTE", palette.concat()), (b"IDAT", compressed(&rows)), (b"IEND", Vec::new())]
    {
        file.extend(size(data.len()));
        let begins = file.len();
        file.extend(name);
        file.extend(data);
        let sum = crc(&file[begins..]);
        file.extend(sum.to_be_bytes());
    }
    file
}

/// A zlib stream (RFC 1950) of one block.
fn compressed(data: &[u8]) -> Vec<u8> {
    let mut bits = Bits { bytes: vec![0x78, 0x01], waiting: 0, count: 0 };
    bits.put(0b011, 3); // the last block, fixed codes
    let mut at = 0;
    while let Some(&byte) = data.get(at) {
        bits.literal(byte);
        at += 1;
        loop {
            let run = data[at..].iter().take(RUN_MAX).take_while(|next| **next == byte).count();
            if run < 3 {
                break;
            }
            bits.run(run);
            at += run;
        }
    }
    bits.code(0, 7); // the end of the block
    bits.put(0, 7); // and of its last byte
    let mut bytes = bits.bytes;
    bytes.extend(adler(data).to_be_bytes());
    bytes
}

struct Bits {
    bytes: Vec<u8>,
    waiting: u32,
    count: u32,
}

impl Bits {
    /// The lowest bit first.
    fn put(&mut self, value: u32, count: u32) {
        self.waiting |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.waiting as u8);
            self.waiting >>= 8;
            self.count -= 8;
        }
    }

    /// A Huffman code: the highest bit first.
    fn code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    fn literal(&mut self, byte: u8) {
        let byte = u32::from(byte);
        if byte < 144 { self.code(0x30 + byte, 8) } else { self.code(0x190 + byte - 144, 9) }
    }

    /// The last byte again, 3 to 258 times: a length, and a distance of one.
    fn run(&mut self, times: usize) {
        let over = times as u32 - 3;
        // Lengths over ten share a code with some more bits, each four codes one bit more; the longest has a code of its own.
        let (symbol, extra) = match over {
            0..8 => (257 + over, 0),
            255 => (285, 0),
            _ => {
                let extra = over.ilog2() - 2;
                (257 + 4 * extra + (over >> extra), extra)
            }
        };
        if symbol < 280 {
            self.code(symbol - 256, 7)
        } else {
            self.code(0xc0 + symbol - 280, 8)
        }
        self.put(over & ((1 << extra) - 1), extra);
        self.code(0, 5);
    }
}

fn adler(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for piece in data.chunks(5_552) {
        // So many bytes fit before the sums have to be cut (RFC 1950, 9).
        for byte in piece {
            a += u32::from(*byte);
            b += a;
        }
        (a, b) = (a % 65_521, b % 65_521);
    }
    b << 16 | a
}

/// Bit by bit: it is ten kilobytes.
fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
        )
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What a reader makes of it: width and the colours, row by row. It knows the fixed codes alone, as the standard has them.
    pub fn decode(file: &[u8]) -> (usize, Vec<[u8; 3]>) {
        let mut rest = file.strip_prefix(b"\x89PNG\r\n\x1a\n").expect("a PNG");
        let (mut head, mut palette, mut data) = (&[][..], &[][..], Vec::new());
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().expect("four")) as usize;
        while !rest.is_empty() {
            let (length, name) = (number(rest), &rest[4..8]);
            let content = &rest[8..8 + length];
            assert_eq!(number(&rest[8 + length..]), crc(&rest[4..8 + length]) as usize, "{name:?}");
            match name {
                b"IHDR" => head = content,
                b"PLTE" => palette = content,
                b"IDAT" => data.extend(content),
                _ => assert_eq!(name, b"IEND"),
            }
            rest = &rest[12 + length..];
        }
        let (width, height) = (number(head), number(&head[4..]));
        assert_eq!(&head[8..], [4, 3, 0, 0, 0]);
        let rows = inflated(&data);
        assert_eq!(rows.len(), height * (width / 2 + 1));
        let mut above = vec![0_u8; width / 2];
        let mut pixels = Vec::new();
        for row in rows.chunks(width / 2 + 1) {
            assert_eq!(row[0], 2);
            above = row[1..].iter().zip(&above).map(|(new, old)| new.wrapping_add(*old)).collect();
            pixels.extend(above.iter().flat_map(|byte| [byte >> 4, byte & 15]));
        }
        let colour = |pixel: &u8| palette[usize::from(*pixel) * 3..][..3].try_into().expect("three");
        (width, pixels.iter().map(colour).collect())
    }

    fn inflated(data: &[u8]) -> Vec<u8> {
        let bits: Vec<u32> = data[2..data.len() - 4]
            .iter()
            .flat_map(|byte| (0..8).map(move |at| u32::from(byte >> at & 1)))
            .collect();
        let mut at = 0;
        let mut bit = || {
            at += 1;
            bits[at - 1]
        };
        assert_eq!([bit(), bit(), bit()], [1, 1, 0]);
        let mut out: Vec<u8> = Vec::new();
        loop {
            let mut code = (0..7).fold(0, |code, _| code << 1 | bit());
            let symbol = if code < 24 {
                256 + code
            } else {
                code = code << 1 | bit();
                match code {
                    0x30..0xc0 => code - 0x30,
                    0xc0..0xc8 => code - 0xc0 + 280,
                    _ => (code << 1 | bit()) - 0x190 + 144,
                }
            };
            let length = match symbol {
                0..256 => {
                    out.push(symbol as u8);
                    continue;
                }
                256 => break,
                285 => 258,
                _ => {
                    // RFC 1951, 3.2.5.
                    let extra = (symbol - 257).saturating_sub(4) / 4;
                    let base = [3, 11, 19, 35, 67, 131][extra as usize] + (((symbol - 257) % 4) << extra);
                    let base = if extra == 0 { 3 + symbol - 257 } else { base };
                    base + (0..extra).fold(0, |more, place| more | bit() << place)
                }
            };
            assert_eq!((0..5).map(|_| bit()).sum::<u32>(), 0, "a distance of one");
            let last = *out.last().expect("one before");
            out.extend(std::iter::repeat_n(last, length as usize));
        }
        assert_eq!(adler(&out).to_be_bytes(), data[data.len() - 4..]);
        out
    }

    #[test]
    fn checksums_match_the_standards() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(crc(b"IEND"), 0xae42_6082, "as at the end of each PNG");
    }

    #[test]
    fn runs_of_every_length_decompress() {
        let mut data: Vec<u8> = (0..=255).collect();
        for length in 1..600 {
            data.extend(std::iter::repeat_n((length % 251) as u8, length));
        }
        assert_eq!(inflated(&compressed(&data)), data);
    }
}
