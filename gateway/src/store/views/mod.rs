//! What people look at: read-only questions for pages, the API and the command line.

/// Lists for the page and the API: newest first, a page at a time.
pub(in crate::store) mod lists;
/// What they show of each row.
pub(in crate::store) mod listed;
/// What people look at: lists and one row's whole story.
pub(in crate::store) mod rows_for_people;
/// One alert's or message's whole story, and the summaries of the first page.
pub(in crate::store) mod overview;
/// What alerts' numbers were.
mod curves;
/// Who takes care of an alert, and what goes on.
pub(in crate::store) mod ongoing;
/// What waits for people, and strangers, as lists.
pub(in crate::store) mod waiting;
/// Rows as JSON.
pub(in crate::store) mod json;
/// What is shown of one thing, and on the first page.
pub(in crate::store) mod shown;
