//! Views for people: read-only questions for pages, the API and the command line.

/// Lists for the page and the API: newest first, a page at a time.
pub(in crate::store) mod lists;
/// What they show of each row.
pub(in crate::store) mod listed;
/// Lists, and one row's whole story.
pub(in crate::store) mod rows_for_people;
/// One alert's or message's whole story, and the summaries of the first page.
pub(in crate::store) mod overview;
/// What alerts' numbers were.
mod curves;
/// The alerts that go on, and who takes care of them.
pub(in crate::store) mod ongoing;
/// Lists of requests and questions that wait for people, and of strangers.
pub(in crate::store) mod waiting;
/// Rows as JSON.
pub(in crate::store) mod json;
/// What is shown of one thing, and on the first page.
pub(in crate::store) mod shown;
