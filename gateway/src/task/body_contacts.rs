//! Whom a webhook names, with what was learned of them.

use crate::contact::{IdentityOwner, People, Phone};
use crate::store::{self, Store};

/// `from` is a number without `+`; people who use a username may have none (Meta, business-scoped user ids).
pub fn whose<'a>(
    store: &Store,
    people: &'a People,
    from: Option<&str>,
    user_id: Option<&str>,
) -> store::Result<IdentityOwner<'a>> {
    let phone = from.and_then(|from| Phone::from_wa_id(from).ok());
    let digits = phone.as_ref().map(|phone| &phone.e164()[1..]);
    Ok(people.whose(phone.as_ref(), user_id, &store.known(digits, user_id)?))
}
