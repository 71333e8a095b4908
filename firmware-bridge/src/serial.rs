//! A client on a serial line, over any [`embedded_io`] port that can say whether bytes wait.

use embedded_io::{Read, ReadReady, Write};

use crate::client::Client;
use crate::clock::Millis;
use crate::frame::{Decoder, Encoder, Found, OVERHEAD_BYTES};
use crate::message::TO_DEVICE_MAX_BYTES;
use crate::queue::Queue;

/// Joins a port and a client. It keeps half a frame between two calls, and nothing else.
#[derive(Debug)]
pub struct Serial<P> {
    port: P,
    decoder: Decoder<{ TO_DEVICE_MAX_BYTES + OVERHEAD_BYTES }>,
}

/// Bytes that are read or written at once; the FIFO of a UART has 16 to 128.
pub(crate) const CHUNK_BYTES: usize = 32;

impl<P: Read + ReadReady + Write> Serial<P> {
    pub fn new(port: P) -> Self {
        Self { port, decoder: Decoder::default() }
    }

    /// Takes what the line has and sends what is to be sent. Call it when bytes wait, after an event or an answer, and at
    /// [`Client::wake_at`]; every few milliseconds does it too. An error is the port's: call again when it may be better,
    /// nothing is lost by it.
    pub fn exchange<Q: Queue, const BUFFER: usize>(
        &mut self,
        client: &mut Client<'_, Q, BUFFER>,
        now: Millis,
    ) -> Result<(), P::Error> {
        while self.port.read_ready()? {
            let mut chunk = [0; CHUNK_BYTES];
            let count = self.port.read(&mut chunk)?;
            if count == 0 {
                break; // the end of a file or a socket
            }
            take(&mut self.decoder, chunk.get(..count).unwrap_or(&[]), client, now);
        }
        while let Some(outgoing) = client.poll(now) {
            let mut frame = Encoder::new(outgoing.kind, outgoing.message);
            loop {
                let chunk: heapless::Vec<u8, CHUNK_BYTES> = frame.by_ref().take(CHUNK_BYTES).collect();
                if chunk.is_empty() {
                    break;
                }
                let mut rest = chunk.as_slice();
                while !rest.is_empty() {
                    let count = self.port.write(rest)?;
                    rest = rest.get(count.max(1)..).unwrap_or(&[]);
                }
            }
        }
        self.port.flush()
    }

    /// The port, to be set up or closed.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }
}

/// Hands bytes of the line to the client.
pub(crate) fn take<Q: Queue, const FRAME: usize, const BUFFER: usize>(
    decoder: &mut Decoder<FRAME>,
    bytes: &[u8],
    client: &mut Client<'_, Q, BUFFER>,
    now: Millis,
) {
    for byte in bytes {
        match decoder.push(*byte) {
            Found::Nothing => {}
            Found::Frame { kind: Some(kind), message } => client.receive(kind, message, now),
            Found::Frame { kind: None, .. } | Found::Damaged => client.damaged(),
        }
    }
}
