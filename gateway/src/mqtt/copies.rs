//! Which copy of this gateway is the newest, as far as the broker knows. Each restored copy's number is kept there, on the topic of
//! our own test messages, which every gateway reads and may write already; sealed, so that nobody else can stop one.

use bytes::Bytes;

use crate::outbox::button_token::ButtonSigner;

/// Ours. Copies of one gateway have one key.
#[derive(Debug, Clone)]
pub struct CopyMark {
    pub number: i64,
    pub signer: ButtonSigner,
}

/// What was heard over one connection.
#[derive(Debug, Default)]
pub struct Copies {
    newest: i64,
}

impl Copies {
    /// Whether it is a copy's number.
    pub fn hear(&mut self, payload: &[u8], own: &CopyMark) -> bool {
        let number = std::str::from_utf8(payload).ok().and_then(|text| own.signer.read_copy(text));
        self.newest = number.map_or(self.newest, |number| number.max(self.newest));
        number.is_some()
    }

    /// The number of another copy that is newer than ours.
    pub fn newer(&self, own: &CopyMark) -> Option<i64> {
        Some(self.newest).filter(|newest| *newest > own.number)
    }

    /// What the broker shall keep, once what it keeps is known: nothing from a gateway that was never restored.
    pub fn announcement(&mut self, own: &CopyMark) -> Option<Bytes> {
        if own.number <= self.newest {
            return None;
        }
        self.newest = own.number;
        Some(own.signer.copy(own.number).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StoreTag;

    fn mark(number: i64, key: u8) -> CopyMark {
        CopyMark { number, signer: ButtonSigner::new(StoreTag::new(format!("{number:08}")), [key; 32]) }
    }

    #[test]
    fn only_the_older_copy_learns_of_the_newer() {
        let (old, new) = (mark(0, 1), mark(7, 1));
        let mut at_new = Copies::default();
        assert!(!at_new.hear(b"0badcafe 1", &new), "a test message");
        let announced = at_new.announcement(&new).expect("the broker knew of none");
        assert_eq!(at_new.announcement(&new), None, "once a connection");
        let mut at_old = Copies::default();
        assert!(at_old.hear(&announced, &old));
        assert_eq!((at_old.newer(&old), at_old.announcement(&old)), (Some(7), None));
        assert!(at_new.hear(&announced, &new));
        assert_eq!(at_new.newer(&new), None);
        assert_eq!(
            Copies::default().announcement(&old),
            None,
            "one that was never restored keeps nothing there"
        );
    }

    #[test]
    fn nobody_without_the_key_stops_a_gateway() {
        let (own, other) = (mark(0, 1), mark(7, 2));
        let mut copies = Copies::default();
        for forged in [other.signer.copy(7), "copy 7".into(), format!("copy 8 {}", own.signer.copy(7))] {
            assert!(!copies.hear(forged.as_bytes(), &own), "{forged}");
        }
        assert_eq!(copies.newer(&own), None);
    }
}
