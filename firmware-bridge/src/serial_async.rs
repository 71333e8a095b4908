//! A client on a serial line in an async program, over any [`embedded_io_async`] port: Embassy's UART and USB, a socket.
//!
//! Waiting holds the port alone, so the application goes on with its client meanwhile: it waits for bytes, for its sensor and for
//! [`Client::wake_at`], whichever comes first, and then lets the two exchange what there is.
//!
//! ```
//! # use core::convert::Infallible;
//! use embedded_io_async::{Read, Write};
//! use firmware_bridge::serial_async::Serial;
//! use firmware_bridge::{Client, Device, RamQueue};
//!
//! async fn link<P: Read + Write>(port: P, now: impl Fn() -> u64) -> Result<(), P::Error> {
//!     let device = Device { id: "freezer-2", firmware: "freezer 1.4", commands: &[], seed: 7 };
//!     let Ok(mut client) = Client::<_, 256>::new(device, RamQueue::<1024>::new()) else { return Ok(()) };
//!     let mut serial = Serial::new(port);
//!     while now() < 3_600_000 {
//!         serial.exchange(&mut client, now()).await?;
//!         // In Embassy: select3(serial.listen(), Timer::at(client.wake_at()), sensor.receive()).await
//!         serial.listen().await?;
//!     }
//!     Ok(())
//! }
//! # struct Port(Vec<u8>);
//! # impl embedded_io_async::ErrorType for Port { type Error = Infallible; }
//! # impl Read for Port {
//! #     async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> { buffer[0] = 0; Ok(1) }
//! # }
//! # impl Write for Port {
//! #     async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
//! #         self.0.extend_from_slice(bytes);
//! #         Ok(bytes.len())
//! #     }
//! #     async fn flush(&mut self) -> Result<(), Infallible> { Ok(()) }
//! # }
//! # let time = core::cell::Cell::new(0);
//! # let now = || time.replace(time.get() + 60_000);
//! # let mut context = core::task::Context::from_waker(core::task::Waker::noop());
//! # let mut running = core::pin::pin!(link(Port(Vec::new()), now));
//! # assert!(running.as_mut().poll(&mut context).is_ready());
//! ```

use embedded_io_async::{Read, Write};
use heapless::Vec;

use crate::client::Client;
use crate::clock::Millis;
use crate::frame::{Encoder, OVERHEAD_BYTES};
use crate::message::TO_DEVICE_MAX_BYTES;
use crate::queue::Queue;
use crate::serial::{CHUNK_BYTES, take};

/// Joins a port and a client. It keeps half a frame between two calls, and what came last.
#[derive(Debug)]
pub struct Serial<P> {
    port: P,
    decoder: crate::frame::Decoder<{ TO_DEVICE_MAX_BYTES + OVERHEAD_BYTES }>,
    came: Vec<u8, CHUNK_BYTES>,
}

impl<P: Read + Write> Serial<P> {
    pub fn new(port: P) -> Self {
        Self { port, decoder: crate::frame::Decoder::default(), came: Vec::new() }
    }

    /// Waits until bytes come, which the next [`exchange`](Self::exchange) hands to the client. It may be given up at any time if
    /// the port's `read` may, as those of Embassy's buffered UARTs.
    pub async fn listen(&mut self) -> Result<(), P::Error> {
        if self.came.is_empty() {
            let mut chunk = [0; CHUNK_BYTES];
            let count = self.port.read(&mut chunk).await?;
            self.came = chunk.into_iter().take(count).collect();
        }
        Ok(())
    }

    /// Takes what has come and sends what is to be sent. Call it after [`listen`](Self::listen), after an event or an answer, and at
    /// [`Client::wake_at`]. An error is the port's: call again when it may be better, nothing is lost by it.
    pub async fn exchange<Q: Queue, const BUFFER: usize>(
        &mut self,
        client: &mut Client<'_, Q, BUFFER>,
        now: Millis,
    ) -> Result<(), P::Error> {
        take(&mut self.decoder, &self.came, client, now);
        self.came.clear();
        while let Some(outgoing) = client.poll(now) {
            let mut frame = Encoder::new(outgoing.kind, outgoing.message);
            loop {
                let chunk: Vec<u8, CHUNK_BYTES> = frame.by_ref().take(CHUNK_BYTES).collect();
                if chunk.is_empty() {
                    break;
                }
                let mut rest = chunk.as_slice();
                while !rest.is_empty() {
                    let count = self.port.write(rest).await?;
                    rest = rest.get(count.max(1)..).unwrap_or(&[]);
                }
            }
        }
        self.port.flush().await
    }

    /// The port, to be set up or closed.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }
}
