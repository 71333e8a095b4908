//! Budgets and Meta's daily limit, looked at now and then: the owner hears of them before they stop anything.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::budget::{Budget, BudgetState, FREE_OF_CHARGE, standing};
use crate::reply::inbound::AccountNotice;
use crate::store::Store;
use crate::task::context::TaskContext;
use crate::task::owner_notice::{NoticeOutcome, NoticeRoute, write};
use crate::task::sending_limits::people_a_day;
use crate::task::wakeups::Written;
use crate::time::{Clock, SystemClock, Timestamp};

/// Often enough: from four fifths to all of a month's budget takes longer, and a flood is a few digests.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub async fn watch(context: Arc<TaskContext>) {
    loop {
        let config = context.live.get();
        let look = move |store: &Store| look(store, &config, SystemClock.now());
        let Some(news) = context.store.durably(look).await else { return };
        for (connection, severity, text) in news {
            context.notices.tell(&connection, severity, text);
            context.wakeups.after(Written::Message);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

type News = Vec<(ConnectionName, Severity, String)>;

fn look(store: &Store, config: &Config, now: Timestamp) -> rusqlite::Result<News> {
    let mut news = Vec::new();
    if !now.is_sane() {
        return Ok(news);
    }
    for connection in &config.connections {
        let Some(budget) = &connection.budget else { continue };
        let found = standing(store.spent(&connection.name, now)?, budget.messages);
        if let Some((word, text)) = about_budget(&connection.name, budget, found, &now.month()) {
            let field = format!("budget {} {word}", now.month());
            news.extend(say(store, config, &connection.name, field, text, now)?);
        }
    }
    let month = now.month();
    for row in store.free()?.into_iter().filter(|row| row.month == month && row.left == 0) {
        let Some(connection) = config.connections.iter().find(|known| known.name.0 == row.connection) else {
            continue;
        };
        let text = format!(
            "the {FREE_OF_CHARGE} free messages of {month} are used up: what is written inside the 24 hours costs as much as a \
             utility template until the month ends"
        );
        news.extend(say(store, config, &connection.name, format!("free {month}"), text, now)?);
    }
    if let Some((about, limit)) = people_a_day(store, config)? {
        let (people, field) = (store.reach(now)?.people, format!("people {}", now.day()));
        // Once a day, since their number goes up and down.
        if standing(people, limit) != BudgetState::Fine && !store.has_notice(&about, &field)? {
            let text = format!(
                "within a day {people} people were written to first, and Meta allows {limit}: beyond that, messages wait; \
                 Meta raises it for businesses that are verified"
            );
            news.extend(say(store, config, &about, field, text, now)?);
        }
    }
    Ok(news)
}

/// A word for the state, and a sentence; the same sentence is told once.
fn about_budget(
    name: &ConnectionName,
    budget: &Budget,
    found: BudgetState,
    month: &str,
) -> Option<(&'static str, String)> {
    let (limit, exceeding) = (budget.messages, budget.exceeded_from.as_str());
    match found {
        BudgetState::Fine => None,
        BudgetState::Near => {
            let text = format!(
                "80 % of the budget of {limit} messages for {month} are used up; when it is, {exceeding} messages still leave \
                 and others are held"
            );
            Some(("near", text))
        }
        BudgetState::Spent => {
            let text = format!(
                "the budget of {limit} messages for {month} is used up: {exceeding} messages still leave, others are held; if \
                 they should go, raise `budget` in [[connection]] {name}"
            );
            Some(("spent", text))
        }
    }
}

fn say(
    store: &Store,
    config: &Config,
    about: &ConnectionName,
    field: String,
    text: String,
    now: Timestamp,
) -> rusqlite::Result<Option<(ConnectionName, Severity, String)>> {
    let severity = Severity::Warning;
    let notice = AccountNotice::of(field, severity, text);
    let told = write(store, config, about, &notice, NoticeRoute::AnotherFirst, now)?;
    Ok((told != NoticeOutcome::Before).then(|| (about.clone(), severity, notice.text)))
}
