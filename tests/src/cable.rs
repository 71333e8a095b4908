//! A line between a device and a serial port, which can be cut, put back and disturbed.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serial2::SerialPort;

/// Between the gateway's port, a pseudo terminal with a name that stays, and a device that connects by TCP.
pub struct Cable {
    /// Where the device connects, and connects again after a restart.
    pub device: String,
    /// The gateway's port: a link to the terminal, gone while the cable is cut.
    pub port: PathBuf,
    state: Arc<State>,
    carrier: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    plugged: AtomicBool,
    /// One byte in so many is changed; 0: none.
    damage_every: AtomicUsize,
    over: AtomicBool,
}

impl Cable {
    /// Plugged in.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        let device = format!("tcp:{}", listener.local_addr().expect("an address"));
        let port = folder.join("ttyUSB0");
        let state = Arc::new(State::default());
        state.plugged.store(true, Ordering::SeqCst);
        let carrier = {
            let (port, state) = (port.clone(), Arc::clone(&state));
            std::thread::spawn(move || carry(&listener, &port, &state))
        };
        Self { device, port, state, carrier: Some(carrier) }
    }

    /// Cut: the port is gone, and what is under way is lost.
    pub fn plug(&self, plugged: bool) {
        self.state.plugged.store(plugged, Ordering::SeqCst);
    }

    /// Changes one byte in so many, both ways; 0: none.
    pub fn disturb(&self, every: usize) {
        self.state.damage_every.store(every, Ordering::SeqCst);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        drop(self.carrier.take().map(JoinHandle::join));
    }
}

/// The two ends of a terminal. Ours is written and read; the other is held open, so that a gateway that is killed is no
/// hang-up for us.
type Terminal = (SerialPort, SerialPort);

fn terminal(port: &Path) -> Terminal {
    let (mut ours, mut theirs) = SerialPort::pair().expect("a pseudo terminal");
    ours.set_read_timeout(Duration::from_millis(2)).expect("set");
    // Nobody may read at the other end: then it is as if the bytes went into the air.
    ours.set_write_timeout(Duration::from_millis(20)).expect("set");
    let mut settings = theirs.get_configuration().expect("read");
    settings.set_raw();
    theirs.set_configuration(&settings).expect("set"); // no echo before the gateway is there
    let name = std::fs::read_link(format!("/proc/self/fd/{}", theirs.as_raw_fd())).expect("a name");
    std::os::unix::fs::symlink(name, port).expect("linked");
    (ours, theirs)
}

fn carry(listener: &TcpListener, port: &Path, state: &State) {
    let (mut gateway, mut device): (Option<Terminal>, Option<TcpStream>) = (None, None);
    let (mut bytes, mut carried) = ([0; 512], 0);
    while !state.over.load(Ordering::SeqCst) {
        let plugged = state.plugged.load(Ordering::SeqCst);
        if plugged && gateway.is_none() {
            gateway = Some(terminal(port));
        } else if !plugged && gateway.is_some() {
            std::fs::remove_file(port).expect("unlinked"); // first: another may get the terminal's number
            gateway = None;
        }
        if let Ok((stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(Duration::from_millis(2))).expect("set");
            device = Some(stream);
        }
        let mut disturb = |bytes: &mut [u8]| {
            let every = state.damage_every.load(Ordering::SeqCst);
            for byte in bytes {
                carried += 1;
                if every > 0 && carried % every == 0 {
                    *byte ^= 0x10;
                }
            }
        };
        if let Some(stream) = &mut device {
            match stream.read(&mut bytes) {
                Ok(0) => device = None,
                Ok(count) => {
                    disturb(&mut bytes[..count]);
                    if let Some((ours, _)) = &gateway {
                        drop(ours.write_all(&bytes[..count]));
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => device = None,
            }
        }
        if let Some((ours, _)) = &gateway
            && let Ok(count) = ours.read(&mut bytes)
        {
            disturb(&mut bytes[..count]);
            if let Some(stream) = &mut device {
                drop(stream.write_all(&bytes[..count])); // a device that has gone
            }
        }
    }
}
