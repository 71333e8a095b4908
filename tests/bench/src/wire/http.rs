//! HTTP/1.1 over a connection that stays, blocking.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// The answer to a request without a body, or with one whose kind `head` says. Each line of `head` has its end.
    pub fn ask(&mut self, method: &str, path: &str, head: &str, body: &str) -> Result<Message> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{head}\r\n{body}"
        );
        self.stream.write_all(request.as_bytes())?;
        read(&mut self.stream, &mut self.buffer)?.context("the server closed the connection")
    }

    /// The status of the answer. `head` are further header lines, each with its end.
    pub fn post(&mut self, path: &str, head: &str, body: &[u8]) -> Result<u16> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{head}\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        let message =
            read(&mut self.stream, &mut self.buffer)?.context("the server closed the connection")?;
        message.status()
    }
}

/// A request or an answer, whole.
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    pub fn status(&self) -> Result<u16> {
        let status = self.head.split(' ').nth(1).and_then(|word| word.parse().ok());
        status.context("an answer without a status")
    }

    pub fn has_in_body(&self, part: &[u8]) -> bool {
        find(&self.body, part).is_some()
    }

    pub fn has(&self, line: &str) -> bool {
        self.head.to_ascii_lowercase().contains(line)
    }
}

/// The next message; `None` when the other side has ended.
pub fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Message>> {
    let mut told_to_continue = false;
    loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let start = end + 4;
            if let Some(whole) = body_end(&head, &buffer[start..])? {
                let (body_at, length, used) = whole;
                let body = buffer[start + body_at..start + body_at + length].to_vec();
                buffer.drain(..start + used);
                return Ok(Some(Message { head, body }));
            }
            if !told_to_continue && head.to_ascii_lowercase().contains("expect: 100-continue") {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                told_to_continue = true;
            }
        }
        let mut block = [0; 16_384];
        let read = stream.read(&mut block)?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&block[..read]);
    }
}

/// Where the body begins, how long it is, and how much of the buffer it takes; `None` while some is missing. Of a
/// chunked body the chunks stay in it: what is looked for in it is found all the same.
fn body_end(head: &str, rest: &[u8]) -> Result<Option<(usize, usize, usize)>> {
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            let Ok(length) = value.trim().parse::<usize>() else { bail!("a strange length: {value}") };
            return Ok((rest.len() >= length).then_some((0, length, length)));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(find(rest, b"0\r\n\r\n").map(|end| (0, end, end + 5)));
        }
    }
    Ok(Some((0, 0, 0)))
}

pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
