//! What Meta sends: kept as it came, then split and given to the site that it is for. A site's place in what is for it is a
//! cursor that the site keeps itself, in the transaction that stores what it was given.

/// A body in its single messages and statuses. Pure.
mod split;
/// Which site one of them is for. Pure.
mod route;
/// Which of several sites is meant: asked, and what follows.
mod question;
/// The loop that does both.
mod router;
/// What a site is given when it asks.
mod poll;

pub use poll::{Batch, Wakes, wait};
pub use question::{Asker, Questions};
pub use router::{CAME, Router, came, give_to, hear, run};
pub use split::{Item, split};

use crate::sites::digest;

/// Of a message, by its wamid.
#[must_use]
pub fn route_key(wamid: &str) -> String {
    format!("w.{}", &digest(wamid)[..32])
}

/// Of a file, by its id.
#[must_use]
pub fn media_key(id: &str) -> String {
    format!("m.{}", &digest(id)[..32])
}

/// Of a person: nobody reads a number out of the engine's subjects.
#[must_use]
pub fn person_key(person: &str) -> String {
    digest(person)[..32].to_owned()
}
