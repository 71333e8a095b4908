//! Lines as the journal's own datagrams (systemd.io, Native Journal Protocol), so that their fields can be asked for:
//! `journalctl -u bellwire BELLWIRE_MESSAGE_ID=7`.

use std::fmt::{Debug, Write};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::SyncSender;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::{Order, hand_over};

pub const SOCKET: &str = "/run/systemd/journal/socket";

/// systemd names the device and inode of the journal's socket (systemd.exec(5), $JOURNAL_STREAM); whoever has redirected
/// standard error since then wants the lines elsewhere.
pub fn is_behind_stderr() -> bool {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let Ok(place) = stderr.and_then(|file| file.metadata()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", place.dev(), place.ino()))
}

pub struct Journal(pub SyncSender<Order>);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        hand_over(&self.0, Order::Datagram(datagram(event)));
    }
}

fn datagram(event: &Event<'_>) -> Vec<u8> {
    let mut fields = Fields::default();
    event.record(&mut fields);
    // As syslog(3) numbers them.
    let priority = match *event.metadata().level() {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    put(&mut fields.datagram, "PRIORITY", priority);
    put(&mut fields.datagram, "SYSLOG_IDENTIFIER", "bellwire");
    // Whoever reads the journal without asking for fields sees them all the same.
    put(&mut fields.datagram, "MESSAGE", &format!("{}{}", fields.message, fields.text));
    fields.datagram
}

#[derive(Default)]
struct Fields {
    datagram: Vec<u8>,
    message: String,
    text: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        let _never_fails = write!(self.text, " {}={value:?}", field.name());
        put(&mut self.datagram, &name(field), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = value;
            return;
        }
        let _never_fails = write!(self.text, " {}={value}", field.name());
        put(&mut self.datagram, &name(field), &value);
    }
}

fn name(field: &Field) -> String {
    let letters = field.name().chars();
    let letters =
        letters.map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' });
    format!("BELLWIRE_{}", letters.collect::<String>())
}

/// With its length before it, so that a value may have several lines and cannot pose as another field.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    datagram.push(b'\n');
    datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn said(inbox: &Receiver<Order>) -> String {
        let Ok(Order::Datagram(datagram)) = inbox.try_recv() else { panic!("no datagram") };
        String::from_utf8_lossy(&datagram).replace('\0', "").replace('\n', "|")
    }

    #[test]
    fn journal_fields_are_complete_and_cannot_be_forged() {
        let (orders, inbox) = sync_channel(2);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Journal(orders)), || {
            tracing::warn!(message_id = 7, reason = "one\nPRIORITY=0", "a message is held");
            tracing::info!("ready");
            tracing::info!("the journal hangs: dropped, not waited for");
        });
        assert_eq!(
            said(&inbox),
            "BELLWIRE_MESSAGE_ID|\u{1}7|BELLWIRE_REASON|\u{e}one|PRIORITY=0|PRIORITY|\u{1}4|SYSLOG_IDENTIFIER|\u{8}bellwire|\
             MESSAGE|7a message is held message_id=7 reason=\"one\\nPRIORITY=0\"|"
        );
        assert!(said(&inbox).contains("ready"));
        assert!(inbox.try_recv().is_err());
    }
}
