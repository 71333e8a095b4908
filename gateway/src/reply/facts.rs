//! The facts on record that decide what follows from a message. The store reads what the kind of message needs; the
//! rest is empty.

use crate::command::approval::Request;
use crate::command::question::OpenQuestion;
use crate::contact::Guest;
use crate::ids::ContactId;
use crate::reply::status_text::OngoingLine;
use crate::time::Timestamp;

#[derive(Debug, Clone, Default)]
pub struct ReplyFacts {
    /// The number that a new request gets.
    pub next_request: i64,
    /// The subject of the vote: one of the two.
    pub request: Option<Request>,
    pub question: Option<OpenQuestion>,
    /// The choices of people, each person once.
    pub votes: Vec<(ContactId, String)>,
    /// The person who takes care of the alert already.
    pub acknowledged_by: Option<ContactId>,
    pub ongoing: Vec<OngoingLine>,
    /// The guests who said Yes to an invitation.
    pub guests: Vec<Guest>,
    /// Invitations that count; when they were answered with No.
    pub invitations: Vec<(Guest, Option<Timestamp>)>,
    /// Of the last day, of everybody.
    pub invited_lately: u32,
    /// An id for whoever is invited, which nobody has or had.
    pub free_id: Option<ContactId>,
    /// When and where the person said last whether they want messages.
    pub newest_wish: Option<(Timestamp, String)>,
}

/// Of somebody who is no contact.
#[derive(Debug, Clone, Default)]
pub struct StrangerFacts {
    /// Invitations of this number or user id that count; when they were answered with No.
    pub invited: Vec<(Guest, Option<Timestamp>)>,
    /// The invitation was answered later than this was written.
    pub is_overtaken: bool,
    /// Something waits for a word of theirs, and leaves now.
    pub releases: bool,
    /// A stranger is answered once a day.
    pub is_answered: bool,
}

/// Of somebody who said Yes to an invitation.
#[derive(Debug, Clone)]
pub struct GuestFacts {
    pub guest: Guest,
    /// A bare No can be about nothing else: the invitation still counts, and they have got no alert.
    pub is_about_invitation: bool,
    /// The invitation was answered later than this was written.
    pub is_overtaken: bool,
}
